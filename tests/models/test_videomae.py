"""VideoMAE: transformers' own states of whole windows, and nothing of what fills up a short one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import VideoMAEModel

from affect_mllm.media.image import ImageTransform
from affect_mllm.models.encoders.videomae import VideoMAEEncoder
from tests import tiny_encoders


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_encoders.folder(tmp_path_factory.mktemp("videomae"), "videomae")


def encoder(folder: Path, **options) -> VideoMAEEncoder:
    return VideoMAEEncoder(str(folder), transform=ImageTransform(32), **options)


def frames(count: int) -> torch.Tensor:
    torch.manual_seed(count)
    return torch.randn(1, count, 3, 32, 32)


@torch.no_grad()
def test_a_whole_window_gives_the_models_own_states(folder) -> None:
    values = frames(4)
    output = VideoMAEModel.from_pretrained(folder).eval()(values, output_hidden_states=True)
    expected = (output.hidden_states[1] + output.last_hidden_state) / 2
    got = encoder(folder, grid=4, layers=[1, -1])(values, torch.ones(1, 4, dtype=torch.bool))
    torch.testing.assert_close(got.values, expected, rtol=0, atol=1e-5)
    pooled = encoder(folder, grid=1)(values, torch.ones(1, 4, dtype=torch.bool)).values
    steps = output.last_hidden_state.unflatten(1, (2, 16)).mean(2)
    torch.testing.assert_close(pooled, steps, rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_short_window_stands_still_and_its_empty_steps_are_masked(folder) -> None:
    values = frames(5)
    model = encoder(folder, grid=1)
    got = model(values, torch.ones(1, 5, dtype=torch.bool))
    assert got.mask.tolist() == [[True, True, True, False]]
    still = values[:, [4, 4, 4, 4]]
    alone = model(still, torch.ones(1, 4, dtype=torch.bool)).values
    torch.testing.assert_close(got.values[:, 2], alone[:, 0], rtol=0, atol=1e-5)
    assert not got.values[:, 3].any()
    # what stands behind the real frames is not seen
    noisy = torch.cat([values, torch.full((1, 4, 3, 32, 32), torch.nan)], 1)
    beside = model(noisy, torch.arange(9)[None] < 5)
    torch.testing.assert_close(beside.values[:, :4], got.values, rtol=0, atol=1e-5)
    assert not beside.values[:, 4:].any()
