"""Slow-fast pooling against a clip worked out by hand, and where it stands in compressors."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from affect_mllm import config
from affect_mllm.data.collate import collate
from affect_mllm.models.compressor.gate import By, Gate
from affect_mllm.models.compressor.hybrid import HybridCompressor
from affect_mllm.models.compressor.merger import Merger
from affect_mllm.models.compressor.projector import Projector
from affect_mllm.models.compressor.slow_fast import SlowFastPooler
from affect_mllm.models.spans import StatesPerStep, TokenRule
from affect_mllm.types import ConfigError, DataError, Sample
from tests import tiny as tiny_model
from tests.tiny import QUESTION, Tiny, logits


def clip(frames: int, grid: int = 2, width: int = 1, items: int = 1) -> torch.Tensor:
    torch.manual_seed(frames)
    return torch.randn(items, frames * grid**2, width, dtype=torch.float64)


def test_a_clip_of_five_frames_by_hand() -> None:
    # frame t has the cells 10t, 10t + 1, 10t + 2, 10t + 3, row by row
    cells = [10.0 * t + i for t in range(5) for i in range(4)]
    states = torch.tensor(cells, dtype=torch.float64).reshape(1, 20, 1)
    pooler = SlowFastPooler(1, grid=2, every=3)
    tokens = pooler(states, torch.ones(1, 20, dtype=torch.bool))
    slow, fast = [0, 1, 2, 3, 30, 31, 32, 33], [1.5, 11.5, 21.5, 31.5, 41.5]
    assert tokens.flatten().tolist() == [*slow, *fast]
    assert pooler.token_count()(20) == 13


def test_fast_tokens_are_means_of_squares_row_by_row() -> None:
    states = torch.arange(16.0).reshape(1, 16, 1)
    tokens = SlowFastPooler(1, grid=4)(states, torch.ones(1, 16, dtype=torch.bool))
    assert tokens[0, :16, 0].tolist() == list(range(16))
    assert tokens[0, 16:, 0].tolist() == [2.5, 4.5, 10.5, 12.5]  # (0 + 1 + 4 + 5) / 4 …


@pytest.mark.parametrize("frames", [1, 2, 4, 5, 9])
def test_padding_is_not_a_token_and_changes_none(frames: int) -> None:
    pooler = SlowFastPooler(3, grid=2, every=4)
    states = clip(frames, width=3)
    real = torch.ones(1, frames * 4, dtype=torch.bool)
    alone = pooler(states, real)
    padded = torch.cat([states, torch.full((1, 24, 3), 1e4, dtype=torch.float64)], 1)
    mask = torch.arange(frames * 4 + 24).unsqueeze(0) < frames * 4
    tokens, shown = pooler(padded, mask), pooler.token_mask(mask)
    assert torch.equal(tokens[shown], alone[0])
    assert not tokens[~shown].any()
    assert len(alone[0]) == pooler.token_count()(frames * 4) == -(-frames // 4) * 4 + frames


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="2 of 3 × 3"):
        SlowFastPooler(1, grid=3)
    with pytest.raises(DataError, match="frames of 4 states"):
        SlowFastPooler(1, grid=2)(torch.zeros(1, 6, 1), torch.ones(1, 6, dtype=torch.bool))
    with pytest.raises(ConfigError, match="frames of 16 cells"):
        Merger(6, 5, pooler=partial(SlowFastPooler, grid=4), merge=4, grid=4)
    with pytest.raises(ConfigError, match="frames of 4 cells"):
        Merger(6, 5, pooler=partial(SlowFastPooler, grid=2), merge=2)


def test_a_projector_maps_each_of_its_tokens() -> None:
    pooler = SlowFastPooler(6, grid=2)
    module = Projector(6, 5, pooler=lambda _: pooler).double()
    states, mask = clip(5, width=6), torch.ones(1, 20, dtype=torch.bool)
    found = module(states, mask)
    torch.testing.assert_close(found.tokens, module.project(pooler(states, mask)))
    assert module.num_tokens == 0
    assert module.frame_states == 4
    assert found.mask is not None
    assert int(found.mask.sum()) == module.token_count()(20) == 8 + 5


@pytest.mark.parametrize("by", ["sample", "token"])
def test_experts_that_merge_cells_may_pool_them_slow_and_fast(by: By) -> None:
    torch.manual_seed(0)
    pooler = partial(SlowFastPooler, grid=2)
    expert = partial(Merger, pooler=pooler, merge=4, grid=4, hidden_size=8)
    module = HybridCompressor(6, 5, expert=expert, gate=partial(Gate, by=by))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    states = clip(5, grid=4, width=6, items=2).float()
    mask = torch.arange(80) < torch.tensor([[80], [32]])
    found = module(states.masked_fill(~mask.unsqueeze(-1), 99), mask)
    assert found.mask is not None
    assert found.mask.sum(1).tolist() == [2 * 4 + 5, 4 + 2]  # of frames of 2 × 2 merged cells
    assert [module.token_count()(count) for count in (80, 32)] == [13, 6]
    alone = module(states[1:, :32], mask[1:, :32])
    torch.testing.assert_close(found.tokens[1, found.mask[1]], alone.tokens[0])
    torch.testing.assert_close(found.gate[1], alone.gate[0])


def test_the_places_in_a_sequence_follow_from_the_clip() -> None:
    module = Projector(6, 5, pooler=partial(SlowFastPooler, grid=2))
    rule = pickle.loads(pickle.dumps(TokenRule(StatesPerStep(4), 6, module.token_count())))
    pictures, states = np.zeros((9, 3, 32, 32)), np.zeros((36, 6))
    assert rule(pictures).length == rule(states).length == 3 * 4 + 9


@pytest.mark.parametrize("row_tokens", [0, 10_000])
def test_a_model_has_places_for_them_padded_and_packed(tiny: Tiny, tmp_path, row_tokens) -> None:
    visual = config.conf_dir() / "compressor" / "slow_fast.yaml"
    cfg = config.compose("train", tiny.overrides(tmp_path)).model
    cfg.compressors.visual = OmegaConf.load(visual)
    cfg.compressors.visual.pooler.grid = 2  # of the demo's encoder
    config.check(cfg)
    torch.manual_seed(0)
    model = config.build(cfg).eval()
    maker, made = tiny.maker(model), []
    widths = {"frame": model.encoders["visual"].hidden_size, "audio": 16}
    for seed, lengths in enumerate(({"frame": 20, "audio": 5}, {"audio": 9}, {"frame": 4})):
        sample = Sample(f"e{seed}", tiny.root, subtitle="what is said")
        arrays = tiny_model.states(seed, lengths, widths)
        made.append(maker.make(sample, arrays, question=QUESTION, answer="happy"))
    spans = [span.length for example in made for span in example.spans if span.modality == "frame"]
    assert spans == [2 * 4 + 5, 4 + 1]
    together = logits(model, collate(made, pad_id=0, row_tokens=row_tokens))
    for example, got in zip(made, together, strict=True):
        alone = logits(model, collate([example], pad_id=0))[0]
        torch.testing.assert_close(got, alone, rtol=1e-5, atol=1e-4)
