"""Whisper's encoder: transformers' states on a whole window, and nothing cut or mixed elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from affect_mllm.media.mel import MelFrames
from affect_mllm.models.encoders.whisper import WhisperEncoder


@pytest.fixture(scope="module")
def encoder(tiny) -> WhisperEncoder:
    return WhisperEncoder(str(tiny.root / "whisper"), transform=MelFrames(80))


def mel(items: int, frames: int) -> torch.Tensor:
    torch.manual_seed(frames)
    return torch.randn(items, frames, 80)


def whole(values: torch.Tensor) -> torch.Tensor:
    return torch.ones(values.shape[:2], dtype=torch.bool)


@torch.no_grad()
def test_a_whole_window_equals_transformers(encoder: WhisperEncoder, tiny) -> None:
    from transformers import WhisperModel

    theirs = WhisperModel.from_pretrained(tiny.root / "whisper", dtype="float32").encoder.eval()
    values = mel(2, 3000)
    got = encoder(values, whole(values))
    expected = theirs(values.transpose(1, 2)).last_hidden_state
    assert got.values.shape == (2, 1500, 16)
    torch.testing.assert_close(got.values, expected, rtol=0, atol=1e-5)
    assert got.mask.all()


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 50, 51])
def test_a_short_clip_does_not_depend_on_its_batch(encoder: WhisperEncoder, frames: int) -> None:
    short, long = mel(1, frames), mel(1, 200)
    alone = encoder(short, whole(short))
    assert alone.values.shape[1] == -(-frames // 2)
    values, mask = torch.full((2, 200, 80), 77.0), torch.zeros(2, 200, dtype=torch.bool)
    values[0, :frames], mask[0, :frames] = short[0], True
    values[1], mask[1] = long[0], True
    both = encoder(values, mask)
    states = alone.values.shape[1]
    assert both.mask[0].sum() == states
    torch.testing.assert_close(both.values[0, :states], alone.values[0], rtol=0, atol=1e-5)
    assert not both.values[0, states:].any()
    torch.testing.assert_close(
        both.values[1:], encoder(long, whole(long)).values, rtol=0, atol=1e-5
    )


@torch.no_grad()
def test_45_seconds_are_two_windows_and_nothing_is_cut(encoder: WhisperEncoder) -> None:
    sound = np.random.default_rng(0).standard_normal(45 * 16000).astype(np.float32) * 0.1
    values = torch.from_numpy(encoder.transform(sound))[None]
    assert values.shape == (1, 4500, 80)
    got = encoder(values, whole(values))
    assert got.values.shape == (1, 2250, 16)
    for part in (slice(0, 3000), slice(3000, 4500)):
        window = values[:, part]
        states = slice(part.start // 2, part.stop // 2)
        alone = encoder(window, whole(window)).values
        torch.testing.assert_close(got.values[:, states], alone, rtol=0, atol=1e-5)
    # beside a short clip, whose second window is empty
    mask = torch.cat([whole(values), torch.arange(4500)[None] < 100])
    both = encoder(values.expand(2, -1, -1), mask)
    torch.testing.assert_close(both.values[0], got.values[0], rtol=0, atol=1e-5)
    assert torch.isfinite(both.values).all()
    assert both.mask[1].sum() == 50
    assert not both.values[1, 50:].any()


def test_frozen_means_no_gradient_and_no_train_mode(encoder: WhisperEncoder) -> None:
    encoder.train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


@torch.no_grad()
def test_chosen_layers_are_those_of_transformers(tiny) -> None:
    from transformers import WhisperModel

    model = WhisperEncoder(str(tiny.root / "whisper"), transform=MelFrames(80), layers=[1, -1])
    theirs = WhisperModel.from_pretrained(tiny.root / "whisper", dtype="float32").encoder.eval()
    values = mel(1, 3000)
    hidden = theirs(values.transpose(1, 2), output_hidden_states=True).hidden_states
    expected = (hidden[1] + hidden[-1]) / 2
    torch.testing.assert_close(model(values, whole(values)).values, expected, rtol=0, atol=1e-5)
