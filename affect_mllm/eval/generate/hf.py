"""A model of transformers, asked as its own chat template has it: a local folder or a Hub id.

What it is asked with follows from its configuration: pictures where it has a vision tower, sounds
where it has an audio tower. Of a Qwen-Omni that speaks, the thinker alone is loaded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from affect_mllm.config import weights_path
from affect_mllm.eval.chat import Reply
from affect_mllm.eval.generate.other import Drawn, short_name
from affect_mllm.eval.generate.parts import Film, Part, Sound, Turn
from affect_mllm.log import LOGGER
from affect_mllm.media.waveform import SAMPLE_RATE_HZ
from affect_mllm.models.decoding import take_over
from affect_mllm.types import CheckpointError

KIND = "a model of transformers that answers about pictures or sounds"
# In whose audio tower and processor a sound comes out the same whatever lies beside it. Elsewhere
# (Qwen3-Omni pads a sound under a second to its neighbours) a turn with sound is asked alone.
_SIDE_BY_SIDE = ("qwen2_5_omni_thinker", "qwen2_audio")
_ONE_RATE = ("qwen2_5_omni_thinker", "qwen3_omni_moe_thinker")  # of all videos of a call


@dataclass(frozen=True)
class HF:
    """Qwen2.5-Omni, Qwen3-Omni, Qwen2-Audio, any image-text-to-text model of transformers.

    `model` is a local folder or a Hub id, `dtype` what its weights are kept in, `batch_size` how
    many rows are asked at once.
    `video`: a video is shown as its pictures, or as one part with their times, which the model's
    own video processor makes tokens of (`native`).
    """

    model: str
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    batch_size: int = 8
    video: Literal["pictures", "native"] = "pictures"
    _loaded: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def hears(self) -> bool:
        """Whether its configuration has an audio tower."""
        return getattr(self._config(), "audio_config", None) is not None

    @property
    def sees(self) -> bool:
        """Whether its configuration has a vision tower; what does not hear either has to see."""
        return getattr(self._config(), "vision_config", None) is not None or not self.hears

    @property
    def films(self) -> bool:
        """Whether it is shown videos, not their pictures."""
        return self.video == "native"

    @property
    def name(self) -> str:
        """Its last path component, and a hash of the rest of its identity."""
        return short_name(self.model, self.identity())

    def identity(self) -> dict[str, str]:
        """The whole path of a folder, or the Hub id, the data type, how videos are shown."""
        folder = Path(self.model)
        whole = str(folder.resolve()) if folder.is_dir() else self.model
        told = {"kind": "hf", "model": whole, "dtype": self.dtype}
        return told | ({"video": self.video} if self.films else {})

    def generate(
        self, turns: Sequence[Turn], *, system: str, max_new_tokens: int, drawn: Drawn | None = None
    ) -> list[Reply]:
        """Answers, in batches of left-padded prompts."""
        answers: list[Reply] = []
        for start, end in self._cuts(turns):
            answers += self._batch(
                turns[start:end],
                system=system,
                max_new_tokens=max_new_tokens,
                drawn=drawn and drawn.part(start, end),
            )
        return answers

    def _cuts(self, turns: Sequence[Turn]) -> Iterator[tuple[int, int]]:
        """Where batches start and end."""
        kind = self._config().model_type
        beside, one_rate = kind in _SIDE_BY_SIDE, kind in _ONE_RATE
        alone = [
            (bool(t.sounds) and not beside) or (bool(t.films) and one_rate) or bool(self._spelt(t))
            for t in turns
        ]
        start = 0
        for end in range(1, len(turns) + 1):
            full = end == len(turns) or end - start == self.batch_size
            if full or alone[start] or alone[end]:
                yield start, end
                start = end

    def _batch(
        self, turns: Sequence[Turn], *, system: str, max_new_tokens: int, drawn: Drawn | None
    ) -> list[Reply]:
        from transformers import LogitsProcessorList

        if reason := self._spelt(turns[0]) or self._unfit(turns[0]):  # then it is asked alone
            return [Reply("", None, error=reason)]
        parts, began = self._parts(), time.monotonic()
        processor, net = parts["processor"], parts["net"]
        texts = [
            processor.apply_chat_template(
                _chat(turn, system), add_generation_prompt=True, tokenize=False
            )
            for turn in turns
        ]
        inputs = processor(
            text=texts, padding=True, return_tensors="pt", **self._given(turns, texts)
        )
        inputs = _moved(inputs, net)
        with torch.inference_mode():
            chooser = drawn and drawn.repeat.chooser(drawn.rows, max_new_tokens)
            ids = net.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=max_new_tokens,
                logits_processor=chooser and LogitsProcessorList([chooser]),
            )
        new = ids[:, inputs["input_ids"].shape[1] :]
        ends = torch.isin(new, torch.tensor(_ends(net), device=new.device))
        counts = (ends.cumsum(-1) - ends.long() == 0).sum(-1).tolist()  # the one that ends included
        read = inputs["attention_mask"].sum(-1).tolist()
        texts = processor.batch_decode(new, skip_special_tokens=True)
        batch = {"seconds": time.monotonic() - began, "batch_rows": len(turns)}
        return [
            Reply(text.strip(), "stop" if done else "length", *tokens, **batch)
            for text, done, *tokens in zip(texts, ends.any(-1).tolist(), read, counts, strict=True)
        ]

    def _given(self, turns: Sequence[Turn], texts: Sequence[str]) -> dict[str, Any]:
        """What the processor gets besides the texts."""
        processor = self._parts()["processor"]
        pictures = [turn.pictures for turn in turns]
        waves = [sound.wave for turn in turns for sound in turn.sounds]
        given: dict[str, Any] = {"images": pictures} if any(pictures) else {}
        given |= self._shown([film for turn in turns for film in turn.films], texts)
        if waves:
            self._tell_cuts(max(map(len, waves)))
            given |= {"audio": waves, "sampling_rate": SAMPLE_RATE_HZ}
        first = processor.tokenizer.bos_token  # the template wrote it, so the tokenizer must not
        if first is not None and texts[0].startswith(first):
            given["add_special_tokens"] = False
        return given

    def _shown(self, films: Sequence[Film], texts: Sequence[str]) -> dict[str, Any]:
        """Videos as the processor takes them: no picture is left out, and when each was seen."""
        if not films:
            return {}
        token = self._parts()["processor"].video_token
        if sum(text.count(token) for text in texts) != len(films):
            raise CheckpointError(
                self.model,
                "a chat template that has no place for a video",
                expected=f"a {token} for each",
                fix="model.video=pictures",
            )
        given: dict[str, Any] = {
            "videos": [film.pictures for film in films],
            "video_metadata": [_metadata(film) for film in films],
            "do_sample_frames": False,
        }
        one_rate = self._config().model_type in _ONE_RATE
        return given | ({"fps": 1 / films[0].step_s} if one_rate else {})

    def _spelt(self, turn: Turn) -> str | None:
        """Why a turn cannot be asked: the processor would take its words for a medium."""
        processor = self._parts()["processor"]
        tokens = [getattr(processor, f"{kind}_token", None) for kind in ("image", "video", "audio")]
        found = [str(token) for token in tokens if token and str(token) in turn.text]
        return f"words with {found[0]}, which {self.model} takes for a medium" if found else None

    def _unfit(self, turn: Turn) -> str | None:
        """Why a turn cannot be asked: its videos have rates of their own, and the model takes one.

        A hundredth apart they are one.
        """
        steps_s = [film.step_s for film in turn.films]
        one_rate = self._config().model_type in _ONE_RATE
        if not (steps_s and one_rate) or max(steps_s) <= 1.01 * min(steps_s):
            return None
        rates = ", ".join(f"{1 / step_s:.3g}" for step_s in steps_s)
        return f"videos with {rates} pictures a second; {self.model} takes one rate a question"

    def _tell_cuts(self, longest: int) -> None:
        """Warn where the model hears the beginning of a sound only; `longest` in samples."""
        processor = self._parts()["processor"]
        hears = getattr(_ears(processor), "n_samples", longest)
        whole = getattr(processor, "audio_kwargs", {}).get("truncation") is False
        if longest > hears and not whole:
            LOGGER.warning(
                "%s hears the first %g s of a sound of %g s",
                self.model,
                hears / SAMPLE_RATE_HZ,
                round(longest / SAMPLE_RATE_HZ, 1),
            )

    def _config(self) -> Any:
        """Its configuration; of a model that speaks, the thinker's."""
        if "config" not in self._loaded:
            from transformers import AutoConfig

            from affect_mllm.models.pretrained import loading

            with loading(self.model, KIND):
                config: Any = AutoConfig.from_pretrained(weights_path(self.model))
            self._loaded["config"] = getattr(config, "thinker_config", config)
        return self._loaded["config"]

    def _parts(self) -> dict[str, Any]:
        if "net" not in self._loaded:
            from transformers import AutoModelForMultimodalLM, AutoProcessor

            from affect_mllm.eval.ranks import ranks
            from affect_mllm.models.pretrained import loading

            path, config = weights_path(self.model), self._config()
            with loading(self.model, KIND):
                processor: Any = AutoProcessor.from_pretrained(path)
                net: Any = AutoModelForMultimodalLM.from_pretrained(
                    path, config=config, dtype=self.dtype, use_safetensors=True
                )
            self._check(processor)
            take_over(net, self.model)
            if not _ends(net):
                net.generation_config.eos_token_id = processor.tokenizer.eos_token_id
            processor.tokenizer.padding_side = "left"  # generation goes on at the right end
            self._loaded.update(processor=processor, net=net.eval().to(ranks().device))
        return self._loaded

    def _check(self, processor: Any) -> None:
        """CheckpointError for a model that wants its sounds otherwise than they are read, or takes
        no videos where it is to be shown some.
        """
        rate = getattr(_ears(processor), "sampling_rate", None)
        if self.hears and rate != SAMPLE_RATE_HZ:
            raise CheckpointError(
                self.model, f"hears at {rate} Hz", expected=f"{SAMPLE_RATE_HZ}, as sounds are read"
            )
        if self.films and getattr(processor, "video_processor", None) is None:
            raise CheckpointError(
                self.model,
                "a processor that takes no videos",
                expected="one with a video processor",
                fix="model.video=pictures",
            )


def _metadata(film: Film) -> dict[str, Any]:
    """As transformers' `VideoMetadata`: pictures as if of a film with one each millisecond."""
    whole_ms = round(1000 * film.step_s * len(film.times_s))
    at_ms = [round(1000 * time_s) for time_s in film.times_s]
    return {"total_num_frames": whole_ms, "fps": 1000.0, "frames_indices": at_ms}


def _moved(inputs: Any, net: Any) -> Any:
    """On the model's device and in its dtype, but for times: positions are counted from them."""
    moved = inputs.to(net.device)
    for name, value in moved.items():
        if torch.is_tensor(value) and value.is_floating_point() and "second" not in name:
            moved[name] = value.to(net.dtype)
    return moved


def _ears(processor: Any) -> Any:
    """What makes features of its sounds; None where it has none."""
    found = getattr(processor, "feature_extractor", None)
    return found or getattr(processor, "audio_processor", None)


def _ends(net: Any) -> list[int]:
    """The ids of the tokens that end an answer; a model may have several."""
    found = net.generation_config.eos_token_id
    return [] if found is None else [found] if isinstance(found, int) else list(found)


def _chat(turn: Turn, system: str) -> list[dict[str, Any]]:
    content = [_part(part) for part in turn.parts]
    told = [{"role": "system", "content": [{"type": "text", "text": system}]}] if system else []
    return [*told, {"role": "user", "content": content}]


def _part(part: Part) -> dict[str, str]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if isinstance(part, Film):
        return {"type": "video"}
    return {"type": "audio" if isinstance(part, Sound) else "image"}
