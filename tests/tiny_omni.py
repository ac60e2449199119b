"""Tiny random models of transformers that hear: Qwen2.5-Omni, Qwen3-Omni and Qwen2-Audio."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

from affect_mllm.data.example import Example
from affect_mllm.media.waveform import SAMPLE_RATE_HZ
from affect_mllm.models.tiny import omni
from affect_mllm.models.tiny.language import tiny_tokenizer
from affect_mllm.models.tiny.sizes import OMNI_SOUND
from affect_mllm.models.vlm.native_vlm import NativeVLM
from tests import tiny_vlm
from tests.tiny import Tiny

hf: Any = transformers


def build(root: Path, kind: str, *, whole: bool = False) -> Path:
    """The folder of the thinker of an omni model, or of a Qwen2-Audio, with its processor.

    `whole`: as published, with the weights of a talker in it, which nothing here may read.
    """
    folder = root / f"{kind}{'_whole' if whole else ''}"
    if folder.exists():
        return folder
    torch.manual_seed(0)
    if kind == "qwen2_audio":
        _audio(folder)
        return folder
    net = omni.write(kind, tiny_tokenizer(), folder)
    if whole:
        _enclose(folder, kind, net.config)
    return folder


def _audio(folder: Path) -> None:
    tokens = omni.TOKENS["qwen2_5_omni"]
    tokens = {name: token for name, token in tokens.items() if name.startswith("audio")}
    tokenizer, ids = omni.with_tokens(tiny_tokenizer(), tokens)
    sound = {name: size for name, size in OMNI_SOUND.items() if name != "output_dim"}
    config = hf.Qwen2AudioConfig(
        text_config=omni.text_config(tokenizer, model_type="qwen2"),
        audio_config={**sound, "model_type": "qwen2_audio_encoder"},
        audio_token_index=ids["audio_token"],
    )
    net = hf.Qwen2AudioForConditionalGeneration(config)
    omni.spread(net, biases=True)
    net.generation_config.eos_token_id = tokenizer.eos_token_id
    net.save_pretrained(folder)
    hf.Qwen2AudioProcessor(
        hf.WhisperFeatureExtractor(feature_size=128),
        tokenizer,
        chat_template=omni.template(tokenizer, pictures=False),
    ).save_pretrained(folder)


def _enclose(folder: Path, kind: str, thinker: Any) -> None:
    """Make a thinker's folder that of a whole model: nested, beside weights of a talker."""
    name = {"qwen2_5_omni": "Qwen2_5Omni", "qwen3_omni_moe": "Qwen3OmniMoe"}[kind]
    getattr(hf, f"{name}Config")(thinker_config=thinker.to_dict()).save_pretrained(folder)
    written = json.loads((folder / "config.json").read_text())
    written["architectures"] = [f"{name}ForConditionalGeneration"]
    (folder / "config.json").write_text(json.dumps(written))
    (file,) = folder.glob("*.safetensors")
    weights = {f"thinker.{key}": tensor for key, tensor in load_file(file).items()}
    weights["talker.model.norm.weight"] = torch.ones(3)
    weights["token2wav.code2wav_bigvgan_model.conv_pre.bias"] = torch.ones(3)
    save_file(weights, file, {"format": "pt"})


def sound(seed: int, seconds: float) -> np.ndarray:
    """float32 at 16 kHz: a tone that changes, in noise."""
    rng = np.random.default_rng(seed)
    at = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tone = np.sin(2 * np.pi * (200 + 60 * seed) * at * (1 + 0.1 * np.sin(at)))
    return (0.3 * tone + 0.05 * rng.standard_normal(len(at))).astype(np.float32)


# By name: a picture or not, frames and seconds between them, seconds of sound.
CASES: dict[str, tuple[bool, tuple[int, float], float]] = {
    "picture": (True, (0, 0), 0),
    "video": (False, (5, 0.75), 0),
    "sound": (False, (0, 0), 2.3),
    "sounding": (False, (8, 0.65), 5.0),  # steps of 1.3 s
    "slow": (False, (6, 2.0), 11.3),  # steps of 4 s, longer than a chunk
    "words": (False, (0, 0), 0),
    "short": (False, (0, 0), 0.6),
    "all": (True, (7, 0.5), 3.1),
}


def examples(
    tiny: Tiny, model: NativeVLM, names: tuple[str, ...], answer: str | None = "happy"
) -> list[Example]:
    """One example a name of `CASES`."""
    maker = replace(tiny.data.maker(model.llm.tokenizer, model.span_lengths()), max_tokens=4000)
    transforms, made = model.transforms(), []
    for number, name in enumerate(names):
        picture, (frames, between_s), seconds = CASES[name]
        media: dict[str, Any] = {}
        if frames:
            patches = transforms["frame"](tiny_vlm.pictures(number, frames, 64, 90))
            media["frame"] = patches.timed(np.arange(frames) * between_s)
        if picture:
            media["image"] = transforms["image"](tiny_vlm.pictures(9 + number, 1, 70, 130))
        if seconds:
            media["audio"] = transforms["audio"](sound(number, seconds))
        made.append(tiny_vlm.asked_about(tiny, maker, number, media, answer))
    return made


def asked(net: Any, model: NativeVLM, example: Example) -> dict[str, Any]:
    """What transformers' own thinker is given for one example, alone."""
    ids = torch.tensor(example.input_ids)[None]
    given: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    for name, values, grid in (
        ("image", "pixel_values", "image_grid_thw"),
        ("frame", "pixel_values_videos", "video_grid_thw"),
    ):
        if name in example.media:
            item: Any = example.media[name]
            given[values] = model._tower.patches(torch.from_numpy(item.values)[None], [item.grid])
            given[grid] = torch.tensor([item.grid])
    if "frame" in example.media:
        video: Any = example.media["frame"]
        given["video_second_per_grid"] = torch.tensor([video.step_s])
    if "audio" in example.media:
        heard = torch.from_numpy(np.asarray(example.media["audio"])).T[None]
        given["input_features"] = heard
        given["feature_attention_mask"] = torch.ones(heard.shape[::2], dtype=torch.long)
        starts = (ids[0, :-1] == net.config.vision_start_token_id).nonzero()[:, 0]
        sounding = (ids[0, starts + 1] == net.config.audio_start_token_id).any()
        given["use_audio_in_video"] = bool(sounding)
    return given
