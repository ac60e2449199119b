"""What every compressor of conf/compressor owes, at tiny size; a new YAML is found by itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from affect_mllm import config
from affect_mllm.models.compressor.base import Compressed, Compressor
from affect_mllm.models.compressor.joined_patches import JoinedPatches
from tests import tiny_experiments
from tests.tiny import Tiny
from tests.variants import names, variant

WIDTH, LLM = 24, 32


def node(name: str) -> DictConfig:
    cfg: Any = OmegaConf.create(variant("compressor", name))
    return cfg


def whole(name: str) -> bool:
    """Not the native VLM's, which lacks the expert that the VLM has."""
    cfg = node(name)
    return not cfg["_target_"].endswith(".HybridCompressor") or "expert" in cfg


NAMES = names("compressor")
NAMES = [name for name in NAMES if whole(name)]


@pytest.fixture(params=NAMES)
def compressor(request, tiny: Tiny) -> Compressor:
    cfg = node(request.param)
    tiny_experiments.shrink(tiny, cfg)
    config.check(cfg)
    torch.manual_seed(0)
    made = config.build(cfg)(WIDTH, LLM, output_rms=0.1).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return made


def compress(made: Compressor, states: torch.Tensor, counts: list[int]) -> Compressed:
    mask = torch.arange(states.shape[1]) < torch.tensor(counts).unsqueeze(1)
    text = torch.ones(len(states), LLM) if made.reads_text else None
    return made(states.masked_fill(~mask.unsqueeze(-1), 7.0), mask, text)


def real(found: Compressed, row: int) -> torch.Tensor:
    return found.tokens[row] if found.mask is None else found.tokens[row, found.mask[row]]


def clips(made: Compressor, *frames: int) -> tuple[torch.Tensor, list[int]]:
    """Random states of clips with so many frames, or the most it takes, as long as the longest."""
    most = getattr(getattr(made, "pooler", None), "most_states", None) or max(frames)
    counts = [min(count, most) * made.frame_states for count in frames]
    return torch.randn(len(frames), max(counts), WIDTH), counts


@torch.no_grad()
def test_an_item_depends_neither_on_its_batch_nor_on_padding(compressor: Compressor) -> None:
    states, counts = clips(compressor, 9, 4, 1)
    together = compress(compressor, states, counts)
    for row, count in enumerate(counts):
        alone = compress(compressor, states[row : row + 1, :count], [count])
        torch.testing.assert_close(real(together, row), real(alone, 0), rtol=1e-5, atol=1e-5)
        if together.gate is not None:
            assert alone.gate is not None
            torch.testing.assert_close(together.gate[row], alone.gate[0])


@torch.no_grad()
def test_tokens_are_as_many_as_said_and_of_the_llms_width(compressor: Compressor) -> None:
    states, counts = clips(compressor, 9, 4, 1)
    found = compress(compressor, states, counts)
    for row, count in enumerate(counts):
        expected = compressor.num_tokens or compressor.token_count()(count)
        assert real(found, row).shape == (expected, LLM)
        assert torch.isfinite(real(found, row)).all()


def test_every_state_matters_and_every_parameter_learns(compressor: Compressor) -> None:
    states, counts = clips(compressor, 8)
    states.requires_grad_()
    compress(compressor, states, counts).tokens.pow(3).sum().backward()
    assert states.grad is not None
    read = torch.ones(states.shape[1], dtype=torch.bool)
    if isinstance(compressor, JoinedPatches) and compressor.project_class is None:
        read[:: compressor.frame_states] = False  # class states, which it leaves out
    assert ((states.grad.abs().sum(-1) > 0) == read).all()
    lacking = [name for name, p in compressor.named_parameters() if p.grad is None]
    assert not lacking
