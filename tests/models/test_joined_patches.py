"""Emotion-LLaMA's tokens of a picture, by hand."""

from __future__ import annotations

import pytest
import torch

from affect_mllm.models.compressor.joined_patches import JoinedPatches
from affect_mllm.types import ConfigError, DataError


def made(**options) -> JoinedPatches:
    torch.manual_seed(0)
    return JoinedPatches(3, 5, grid=4, join=4, **options).double()


def linear(layer: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
    return x @ layer.weight.T + layer.bias


def test_four_patches_in_a_row_are_one_token_and_the_class_is_the_last() -> None:
    module = made()
    states = torch.randn(1, 34, 3, dtype=torch.float64)  # two frames of a class and 16 cells
    found = module(states, torch.ones(1, 34, dtype=torch.bool))
    assert module.project_class is not None
    expected = []
    for first in (0, 17):
        for row in range(4):
            start = first + 1 + 4 * row
            expected.append(linear(module.project, states[0, start : start + 4].flatten()))
        expected.append(linear(module.project_class, states[0, first]))
    torch.testing.assert_close(found.tokens[0], torch.stack(expected), rtol=0, atol=1e-12)
    assert module.token_count()(34) == 10


def test_without_the_class_token_it_changes_nothing() -> None:
    module = made(keep_class=False)
    states, mask = torch.randn(1, 17, 3, dtype=torch.float64), torch.ones(1, 17, dtype=torch.bool)
    before = module(states, mask).tokens
    states[:, 0] = 99
    assert torch.equal(module(states, mask).tokens, before)
    assert before.shape == (1, 4, 5)
    assert module.token_count()(17) == 4


def test_the_published_picture_takes_257_tokens() -> None:
    module = JoinedPatches(2, 2, grid=32)
    assert module.token_count()(1025) == 257
    assert module.project.in_features == 8


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="5 of 4 × 4"):
        JoinedPatches(3, 5, grid=4, join=5)
    with pytest.raises(DataError, match="frames of 17 states"):
        made()(torch.zeros(1, 16, 3).double(), torch.ones(1, 16, dtype=torch.bool))
