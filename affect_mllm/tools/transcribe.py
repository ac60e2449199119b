"""Speech to text by Whisper, for `--subtitle auto`: 30 s windows, language found by the model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from affect_mllm.models.pretrained import cache_keyword, loading
from affect_mllm.types import ConfigError, DataError

if TYPE_CHECKING:
    import torch
    from transformers import WhisperForConditionalGeneration

SAMPLE_RATE_HZ = 16_000
WINDOW_SAMPLES = 30 * SAMPLE_RATE_HZ
MIN_SAMPLES = SAMPLE_RATE_HZ // 10  # nobody says a word in less than 0.1 s
SILENCE_RMS = 1e-4  # −80 dB of full scale, near the noise floor of 16 bits; speech is far above
# A window counts as without speech when both hold (Radford et al. 2022, section 4.5) …
NO_SPEECH_PROBABILITY = 0.6
MIN_MEAN_LOGPROB = -1.0
# … or when the model is this sure: on a mains hum it answers "you" with a good log-probability.
CERTAIN_NO_SPEECH = 0.9
NO_SPEECH_TOKEN = "<|nocaptions|>"
MAX_NEW_TOKENS = 224  # half of the decoder's positions, as the paper's decoding does


class _Loaded(NamedTuple):
    model: WhisperForConditionalGeneration
    features: Any
    tokenizer: Any
    no_speech: int


def said_in(clip: Path | None) -> str | None:
    """What Whisper-base hears in a clip; None if it has no sound or nobody speaks.

    Raises ConfigError without a clip, DataError for one that cannot be read.
    """
    if clip is None:
        raise ConfigError("subtitle", "auto, but there is no clip", expected="a clip with sound")
    from affect_mllm.config import weights_path
    from affect_mllm.media.audio import read_audio
    from affect_mllm.media.video import probe

    waveform = None if probe(clip).kind == "image" else read_audio(clip)
    if waveform is None:
        return None
    return transcribe(waveform, Path(weights_path("asset:whisper-base"))) or None


def transcribe(waveform: np.ndarray, folder: str | Path) -> str:
    """What is said in `waveform` (float32 `[n]`, mono, 16 kHz); "" where nothing is said.

    `folder` is a Hugging Face folder of a multilingual Whisper. Windows of 30 s are decoded
    greedily in float32, each in its own language, and joined by a blank; a word on the border of
    two windows may be lost. Windows under −80 dB, or that the model takes for no speech, are left
    out. Raises DataError when `waveform` is not one-dimensional or not finite.
    """
    waveform = np.asarray(waveform, dtype=np.float32)
    if waveform.ndim != 1 or not np.isfinite(waveform).all():
        raise DataError(
            "transcribe", f"a waveform of shape {waveform.shape}", expected="finite samples [n]"
        )
    windows = [window for window in _windows(waveform) if _audible(window)]
    texts = [_decode(window, _load(str(folder))) for window in windows]
    return " ".join(text for text in texts if text)


def _windows(waveform: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(waveform), WINDOW_SAMPLES):
        yield waveform[start : start + WINDOW_SAMPLES]


def _audible(window: np.ndarray) -> bool:
    rms = float(np.sqrt(np.mean(np.square(window, dtype=np.float64))))
    return len(window) >= MIN_SAMPLES and rms >= SILENCE_RMS


@lru_cache(maxsize=1)
def _load(folder: str) -> _Loaded:
    import torch
    from transformers import (
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )

    with loading(folder, "a Whisper model"):
        model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        tokenizer = WhisperTokenizer.from_pretrained(folder)
        features = WhisperFeatureExtractor.from_pretrained(folder)
    no_speech = tokenizer.convert_tokens_to_ids(NO_SPEECH_TOKEN)
    return _Loaded(model.eval(), features, tokenizer, no_speech)


def _decode(window: np.ndarray, whisper: _Loaded) -> str:
    """Text of one window, "" if the model finds no speech in it."""
    import torch

    features = whisper.features(window, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
    config: Any = whisper.model.generation_config
    start = config.decoder_start_token_id
    with torch.inference_mode():
        states = whisper.model.model.encoder(features.input_features)
        first = whisper.model(encoder_outputs=states, decoder_input_ids=torch.tensor([[start]]))
        logits = first.logits[0, -1]
        languages = list(config.lang_to_id.values())
        language = languages[int(logits[languages].argmax())]
        task, plain = config.task_to_id["transcribe"], config.no_timestamps_token_id
        tokens, logprob = _greedy(whisper.model, states, [start, language, task, plain])
    if _silent(float(logits.softmax(-1)[whisper.no_speech]), logprob):
        return ""
    return whisper.tokenizer.decode(tokens, skip_special_tokens=True).strip()


def _silent(no_speech: float, mean_logprob: float) -> bool:
    doubted = no_speech > NO_SPEECH_PROBABILITY and mean_logprob < MIN_MEAN_LOGPROB
    return doubted or no_speech > CERTAIN_NO_SPEECH


def _greedy(
    model: WhisperForConditionalGeneration, states: Any, prompt: list[int]
) -> tuple[list[int], float]:
    """Tokens after `prompt` and their mean log-probability, the end token counted."""
    import torch
    from transformers import DynamicCache, EncoderDecoderCache

    config: Any = model.generation_config
    tokens: list[int] = []
    logprobs: list[float] = []
    fed, keyword = torch.tensor([prompt]), cache_keyword(model)
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())  # filled in place
    while len(tokens) < MAX_NEW_TOKENS:
        out = model(
            encoder_outputs=states, decoder_input_ids=fed, use_cache=True, **{keyword: cache}
        )
        scores = _allowed(out.logits[0, -1], config, first=not logprobs).log_softmax(-1)
        token = int(scores.argmax())
        logprobs.append(float(scores[token]))
        if token == config.eos_token_id:
            break
        tokens.append(token)
        fed = torch.tensor([[token]])
    return tokens, float(np.mean(logprobs))


def _allowed(logits: torch.Tensor, config: Any, *, first: bool) -> torch.Tensor:
    """`logits` without the symbols and markers that are never written as text."""
    banned = [*(config.suppress_tokens or ()), *range(config.no_timestamps_token_id, len(logits))]
    if first:
        banned += config.begin_suppress_tokens or ()
    logits = logits.clone()
    logits[banned] = -float("inf")
    return logits
