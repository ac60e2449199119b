"""Every layer side by side is what each layer gives alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from affect_mllm.media.image import ImageTransform
from affect_mllm.media.mel import MelFrames
from affect_mllm.media.waveform import Waveform
from affect_mllm.models.encoders.base import Encoder
from affect_mllm.models.encoders.hf_vision import HFVisionEncoder
from affect_mllm.models.encoders.hubert import SpeechEncoder
from affect_mllm.models.encoders.timm import TimmEncoder
from affect_mllm.models.encoders.videomae import VideoMAEEncoder
from affect_mllm.models.encoders.whisper import WhisperEncoder
from affect_mllm.models.tiny.weights import seeded, tiny_encoder, tiny_timm


def pictures(size: int, frames: int = 2) -> torch.Tensor:
    return torch.randn(1, frames, 3, size, size, generator=torch.Generator().manual_seed(0))


KINDS: dict[str, tuple[type[Encoder], Any, dict[str, Any]]] = {
    "whisper": (WhisperEncoder, MelFrames(80), {}),
    "hubert": (SpeechEncoder, Waveform(), {}),
    "wavlm": (SpeechEncoder, Waveform(), {}),
    "clip": (HFVisionEncoder, None, {"grid": 2}),
    "dinov2": (HFVisionEncoder, None, {"output": "cls"}),
    "videomae": (VideoMAEEncoder, None, {"grid": 2}),
}


@torch.no_grad()
@pytest.mark.parametrize("name", KINDS)
def test_each_slice_is_the_layer_alone(tmp_path, name) -> None:
    kind, transform, more = KINDS[name]
    seeded(name)
    told = tiny_encoder(name, tmp_path)
    size = told.get("transform.size", 64)
    transform = transform or ImageTransform(size, [0.5] * 3, [0.5] * 3)

    def made(**settings) -> Encoder:
        return kind(str(tmp_path), transform=transform, **more, **settings).eval()

    values = {
        "whisper": torch.randn(1, 60, 80),
        "hubert": torch.randn(1, 4000),
        "wavlm": torch.randn(1, 4000),
    }.get(name)
    values = pictures(size) if values is None else values
    mask = torch.ones(values.shape[:2], dtype=torch.bool)
    every = made()
    before, width = every.fingerprint(), every.hidden_size
    widths = every.each_layer()
    assert every.fingerprint() != before, "other states, another fingerprint"
    assert every.hidden_size == sum(widths.values())
    assert set(widths.values()) == {width}
    states = every(values, mask).values
    assert states.shape[-1] == every.hidden_size
    for number, part in enumerate(states.split(width, dim=-1)):
        alone = made(layers=[number])(values, mask).values
        torch.testing.assert_close(part, alone, rtol=0, atol=1e-6)
    torch.testing.assert_close(part, made()(values, mask).values, rtol=0, atol=1e-6)


@torch.no_grad()
def test_stages_of_timm_have_their_own_widths(tmp_path) -> None:
    seeded("efficientnet")
    told = tiny_timm("efficientnet", tmp_path)
    size = told.get("transform.size", 64)
    transform = ImageTransform(size, [0.5] * 3, [0.5] * 3)
    every, plain = (TimmEncoder(str(tmp_path), transform=transform, grid=2) for _ in range(2))
    widths = every.each_layer()
    assert len(set(widths.values())) > 1
    values = pictures(size)
    mask = torch.ones(values.shape[:2], dtype=torch.bool)
    parts = dict(
        zip(widths, every(values, mask).values.split(list(widths.values()), -1), strict=True)
    )
    torch.testing.assert_close(parts["last"], plain(values, mask).values, rtol=0, atol=1e-5)
    alone = TimmEncoder(str(tmp_path), transform=transform, grid=2, layers=[1])
    torch.testing.assert_close(parts["1"], alone(values, mask).values, rtol=0, atol=1e-5)


def test_an_encoder_of_one_layer_stays_as_it_is(tmp_path) -> None:
    seeded("clip")
    told = tiny_encoder("clip", tmp_path)
    transform = ImageTransform(told.get("transform.size", 64), [0.5] * 3, [0.5] * 3)
    encoder = HFVisionEncoder(str(tmp_path), transform=transform, output="pooled")
    before = encoder.fingerprint()
    assert encoder.each_layer() == {"": encoder.hidden_size}
    assert encoder.fingerprint() == before
    assert np.isfinite(encoder.hidden_size)
