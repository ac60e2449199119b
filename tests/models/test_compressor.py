"""Poolers, the merger and the mixture of experts, against cases worked out by hand."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from affect_mllm.models.compressor.hybrid import Gate, HybridCompressor
from affect_mllm.models.compressor.merger import Merger
from affect_mllm.models.compressor.poolers import AttentionPooler, MeanPooler, SegmentPooler
from affect_mllm.types import ConfigError

STATES = torch.tensor([[[1.0, 0.0], [3.0, 2.0], [50.0, 70.0]]], dtype=torch.float64)
MASK = torch.tensor([[True, True, False]])
POOLERS = [
    MeanPooler,
    partial(AttentionPooler, num_tokens=3),
    partial(AttentionPooler, num_tokens=2, normalize="none"),
    partial(SegmentPooler, num_tokens=4),
]


def random_states(items: int = 3, length: int = 11, width: int = 6) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(items, length, width)


def hybrid(pooler=MeanPooler, **options) -> HybridCompressor:
    torch.manual_seed(2)
    expert = partial(Merger, pooler=pooler, merge=2, hidden_size=8)
    return HybridCompressor(6, 5, expert=expert, **options)


def differ(module: HybridCompressor) -> HybridCompressor:
    """Experts and gate as after some training."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return module


def test_mean_pooler_by_hand() -> None:
    assert MeanPooler(2)(STATES, MASK).tolist() == [[[2.0, 1.0]]]


def attention_pooler(normalize: str) -> AttentionPooler:
    pooler = AttentionPooler(2, num_tokens=2, normalize=normalize).double()
    with torch.no_grad():
        pooler.score.weight.copy_(torch.tensor([[0.0, 1.0], [0.5, 0.0]]))
        pooler.score.bias.copy_(torch.tensor([0.0, 1.0]))
    return pooler


def test_attention_pooler_without_softmax_by_hand() -> None:
    # scores of the two real states: token 0: 0, 2; token 1: 0.5 + 1, 1.5 + 1
    expected = [[0 * 1 + 2 * 3, 2 * 2.0], [1.5 * 1 + 2.5 * 3, 2.5 * 2]]
    assert attention_pooler("none")(STATES, MASK)[0].tolist() == expected


def test_attention_pooler_with_softmax_by_hand() -> None:
    p = 1 / (1 + torch.exp(torch.tensor([-2.0, -1.0], dtype=torch.float64)))  # of state 1
    expected = torch.stack([torch.stack([(1 - q) * 1 + q * 3, q * 2]) for q in p])
    got = attention_pooler("softmax")(STATES, MASK)[0]
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


def test_segment_pooler_by_hand() -> None:
    # two stretches of 2.5 states: the one in the middle belongs to both
    states = torch.arange(5, dtype=torch.float64).reshape(1, 5, 1)
    two = SegmentPooler(1, num_tokens=2)(states, torch.ones(1, 5, dtype=torch.bool))
    assert two.flatten().tolist() == [1.0, 3.0]


@pytest.mark.parametrize("length", [1, 3, 4, 5, 8, 11])
def test_segment_pooler_is_adaptive_pooling_of_the_real_states(length: int) -> None:
    states, mask = random_states().double(), (torch.arange(11) < length).expand(3, -1)
    got = SegmentPooler(6, num_tokens=4)(states, mask)
    real = states[:, :length].transpose(1, 2)
    expected = torch.nn.functional.adaptive_avg_pool1d(real, 4).transpose(1, 2)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("make", POOLERS)
def test_what_is_masked_changes_nothing(make) -> None:
    pooler = make(6)
    states = random_states()
    mask = torch.arange(11) < torch.tensor([[4], [11], [0]])
    before = pooler(states, mask)
    loud = states.masked_fill(~mask.unsqueeze(-1), 1e6)
    torch.testing.assert_close(pooler(loud, mask), before)
    torch.testing.assert_close(pooler(states[:1, :4], mask[:1, :4]), before[:1])
    assert not before[2].any(), "an item without states is no token of its own"


@pytest.mark.parametrize("length", [3, 4, 7])
def test_merger_joins_neighbours_and_ignores_padding(length: int) -> None:
    torch.manual_seed(0)
    merger = Merger(6, 5, pooler=MeanPooler, merge=4, hidden_size=8)
    states = random_states()[:1, :length]
    mask = torch.ones(1, length, dtype=torch.bool)
    padded = torch.cat([states, torch.full((1, 9, 6), 1e4)], 1)
    padded_mask = torch.cat([mask, torch.zeros(1, 9, dtype=torch.bool)], 1)
    got = merger(states, mask)
    torch.testing.assert_close(merger(padded, padded_mask), got)
    # by hand: zeros fill the last group, the mean is over the groups, then the norm
    normed = merger.norm(states)
    short = -length % 4
    groups = torch.cat([normed, torch.zeros(1, short, 6)], 1).reshape(1, -1, 24)
    torch.testing.assert_close(got, merger.output_norm(merger.mlp(groups).mean(1, keepdim=True)))


def test_tokens_have_the_size_of_word_embeddings() -> None:
    merger = Merger(6, 50, pooler=MeanPooler, output_rms=0.07)
    tokens = merger(1e3 * random_states(), torch.ones(3, 11, dtype=torch.bool))
    torch.testing.assert_close(tokens.pow(2).mean(-1).sqrt(), torch.full((3, 1), 0.07))


def test_experts_start_equal_so_that_the_mixture_is_each_of_them() -> None:
    module, states = hybrid(), random_states()
    mask = torch.ones(3, 11, dtype=torch.bool)
    tokens, gate = module(states, mask)
    assert gate is not None
    torch.testing.assert_close(gate, torch.full((3, 2), 0.5))
    for expert in module.experts.values():
        torch.testing.assert_close(expert(states, mask), tokens)


def test_the_gate_learns_although_it_starts_at_zero() -> None:
    module, states = differ(hybrid()), random_states()
    torch.nn.init.zeros_(module.gate.output.weight)
    module(states, torch.ones(3, 11, dtype=torch.bool)).tokens.sum().backward()
    assert module.gate.output.weight.grad is not None
    assert module.gate.output.weight.grad.abs().sum() > 0


def test_the_mixture_by_hand() -> None:
    module, states = differ(hybrid()), random_states()
    mask = torch.ones(3, 11, dtype=torch.bool)
    tokens, gate = module(states, mask)
    assert gate is not None
    assert gate.std(0).min() > 0, "the gate does not look at the states"
    one, two = (module.experts[name](states, mask) for name in ("general", "emotion"))
    expected = gate[:, 0, None, None] * one + gate[:, 1, None, None] * two
    torch.testing.assert_close(tokens, expected)


@pytest.mark.parametrize("name", ["general", "emotion"])
def test_one_expert_alone_has_weight_exactly_one(name: str) -> None:
    module, states = differ(hybrid()), random_states()
    mask = torch.ones(3, 11, dtype=torch.bool)
    module.use([name])
    tokens, gate = module(states, mask)
    assert gate is not None
    assert gate[:, module.names.index(name)].tolist() == [1.0] * 3
    assert gate.sum() == 3
    assert torch.equal(tokens, module.experts[name](states, mask))


@pytest.mark.parametrize("names", [["general", "sentiment"], []])
def test_an_expert_that_is_not_there_is_refused(names: list[str]) -> None:
    with pytest.raises(ConfigError, match="general"):
        hybrid().use(names)


@pytest.mark.parametrize("make", POOLERS)
def test_neighbours_and_padding_do_not_reach_an_item(make) -> None:
    module, states = differ(hybrid(make)), random_states()
    mask = torch.arange(11) < torch.tensor([[4], [11], [7]])
    together = module(states.masked_fill(~mask.unsqueeze(-1), 99), mask)
    alone = module(states[:1, :4], mask[:1, :4])
    torch.testing.assert_close(together.tokens[:1], alone.tokens)
    torch.testing.assert_close(together.gate[:1], alone.gate)


def test_the_gate_ignores_an_expert_that_is_not_allowed() -> None:
    torch.manual_seed(0)
    gate = Gate(6, 3)
    torch.nn.init.normal_(gate.output.weight)
    weights = gate(random_states(), torch.ones(3, 11, dtype=torch.bool), [True, False, True])
    assert weights[:, 1].tolist() == [0.0] * 3
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
