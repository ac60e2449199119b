"""Poolers, the merger and the mixture of experts, against cases worked out by hand."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from affect_mllm.models.compressor.figure_gate import FigureGate
from affect_mllm.models.compressor.gate import Gate
from affect_mllm.models.compressor.hybrid import HybridCompressor
from affect_mllm.models.compressor.merger import Merger
from affect_mllm.models.compressor.poolers import (
    AttentionPooler,
    MeanPooler,
    QFormerPooler,
    SegmentPooler,
)
from affect_mllm.models.compressor.projector import Projector
from affect_mllm.models.qformer import QFormerShape
from affect_mllm.types import ConfigError, DataError
from tests.models.bert import qformer

STATES = torch.tensor([[[1.0, 0.0], [3.0, 2.0], [50.0, 70.0]]], dtype=torch.float64)
MASK = torch.tensor([[True, True, False]])
SHAPE = QFormerShape(hidden_size=5, heads=1, intermediate_size=7)
POOLERS = [
    MeanPooler,
    partial(AttentionPooler, num_tokens=3),
    partial(AttentionPooler, num_tokens=2, normalize="none"),
    partial(SegmentPooler, num_tokens=4),
    partial(QFormerPooler, num_tokens=3, positions=11, shape=SHAPE),
]


def random_states(items: int = 3, length: int = 11, width: int = 6) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(items, length, width)


def hybrid(pooler=MeanPooler, **options) -> HybridCompressor:
    torch.manual_seed(2)
    expert = partial(Merger, pooler=pooler, merge=2, hidden_size=8)
    return HybridCompressor(6, 5, expert=expert, **options).eval()


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
    pooler = make(6).eval()
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
    tokens, gate, _ = module(states, mask)
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
    tokens, gate, _ = module(states, mask)
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
    tokens, gate, _ = module(states, mask)
    assert gate is not None
    assert gate[:, module.names.index(name)].tolist() == [1.0] * 3
    assert gate.sum() == 3
    assert torch.equal(tokens, module.experts[name](states, mask))


@pytest.mark.parametrize(
    "make", [Gate, partial(Gate, normalize="none"), partial(Gate, by="token"), FigureGate]
)
@pytest.mark.parametrize("name", ["general", "emotion"])
def test_every_gate_is_fixed_to_one_expert_alone_before_any_training(make, name: str) -> None:
    module, states = hybrid(gate=make), random_states()
    with torch.no_grad():
        for parameter in module.experts["emotion"].parameters():
            parameter.add_(0.1)
    module.use([name])
    tokens, weights, _ = module(states, WHOLE)
    assert weights.tolist() == [[float(each == name) for each in module.names]] * 3
    assert torch.equal(tokens, module.experts[name](states, WHOLE))
    tokens.sum().backward()
    grads = [parameter.grad for parameter in module.gate.parameters()]
    assert all(grad is None or not grad.any() for grad in grads)


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


def gate(**options) -> Gate:
    torch.manual_seed(0)
    made = Gate(6, 3, **options)
    torch.nn.init.normal_(made.output.weight)
    return made


WHOLE = torch.ones(3, 11, dtype=torch.bool)


@pytest.mark.parametrize("options", [{}, {"top_k": 2}, {"by": "token"}, {"normalize": "none"}])
def test_the_gate_ignores_an_expert_that_is_not_allowed(options: dict) -> None:
    weights = gate(**options)(random_states(), WHOLE, [True, False, True])
    assert weights.shape == (3, 11 if options.get("by") == "token" else 1, 3)
    assert not weights[..., 1].any()
    if "normalize" not in options:
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))


def test_top_k_keeps_the_largest_weights_in_their_proportion() -> None:
    dense, sparse = (gate(top_k=k)(random_states(), WHOLE, [True] * 3) for k in (None, 2))
    smallest = dense.argmin(-1, keepdim=True)
    kept = dense.scatter(-1, smallest, 0)
    torch.testing.assert_close(sparse, kept / kept.sum(-1, keepdim=True))
    # while all weights are equal, it is still two
    fresh = Gate(6, 3, top_k=2)(random_states(), WHOLE, [True] * 3)
    assert (fresh > 0).sum(-1).tolist() == [[2]] * 3
    with pytest.raises(ConfigError, match="4 of 3"):
        Gate(6, 3, top_k=4)


def test_without_a_softmax_the_mixture_still_begins_as_one_expert() -> None:
    module, states = hybrid(gate=partial(Gate, normalize="none")), random_states()
    tokens, weights, _ = module(states, WHOLE)
    torch.testing.assert_close(weights, torch.full((3, 2), 0.5))
    torch.testing.assert_close(tokens, module.experts["general"](states, WHOLE))
    moved = gate(normalize="none")(states, WHOLE, [True] * 3)
    assert (moved < 0).any()
    assert (moved > 1).any()


def test_the_figures_gate_is_attention_and_two_layers_of_the_mean_state() -> None:
    torch.manual_seed(0)
    made, attention = FigureGate(6, 3, hidden_size=4), torch.nn.MultiheadAttention(6, 2)
    own = made.attention.state_dict()
    for name, tensor in attention.state_dict().items():
        own[name.replace("in_proj_", "in_proj.")].copy_(torch.randn_like(tensor))
        tensor.copy_(own[name.replace("in_proj_", "in_proj.")])
    states, mask = random_states(), torch.arange(11) < torch.tensor([[4], [11], [7]])
    got = made(states.masked_fill(~mask.unsqueeze(-1), 99), mask, [True, False, True])
    for item, length in enumerate((4, 11, 7)):
        mean = states[item, :length].mean(0, keepdim=True)
        seen, _ = attention(mean, mean, mean)
        hidden = made.hidden_norm(made.hidden(seen).relu())
        expected = made.output_norm(made.output(hidden).relu())[0]
        assert got[item, 0, 1] == 0
        torch.testing.assert_close(got[item, 0, ::2], expected[::2])


@pytest.mark.parametrize("pooler", [None, partial(SegmentPooler, num_tokens=3)])
def test_a_gate_by_token_weights_each_token(pooler) -> None:
    module = differ(hybrid(pooler, gate=partial(Gate, by="token")))
    states, mask = random_states(), torch.arange(11) < torch.tensor([[11], [4], [7]])
    got = module(states, mask)
    one, two = (module.experts[name](states, mask) for name in ("general", "emotion"))
    share = (got.tokens - two) / (one - two)  # of the general expert, in every number
    torch.testing.assert_close(
        share, share.mean(-1, keepdim=True).expand_as(share), rtol=1e-3, atol=1e-3
    )
    each = share.mean(-1)
    assert each[0].std() > 1e-4, "the tokens of an item have one weight"
    real = mask[:, ::2] if pooler is None else torch.ones(3, 3, dtype=torch.bool)
    expected = (each * real).sum(1) / real.sum(1)
    torch.testing.assert_close(got.gate[:, 0], expected, rtol=1e-3, atol=1e-3)
    alone = module(states[1:2, :4], mask[1:2, :4])
    torch.testing.assert_close(got.gate[1:2], alone.gate)
    torch.testing.assert_close(got.tokens[1:2, : alone.tokens.shape[1]], alone.tokens)


def test_a_gate_by_text_looks_at_the_instruction_alone() -> None:
    module = differ(hybrid(gate=partial(Gate, by="text")))
    assert module.reads_text
    text = torch.randn(3, 5)
    _, weights, _ = module(random_states(), WHOLE, text)
    _, again, _ = module(random_states().flip(1) * 3, WHOLE, text)
    torch.testing.assert_close(weights, again)
    _, other, _ = module(random_states(), WHOLE, text.flip(0))
    torch.testing.assert_close(weights, other.flip(0))
    assert weights.std(0).min() > 1e-4
    with pytest.raises(ConfigError, match="without an instruction"):
        module(random_states(), WHOLE)


def test_balance_and_sharpness_can_be_trained_through_the_gates() -> None:
    """The weights carry gradients, so that losses over them reach the gate."""
    module, target = hybrid(), torch.tensor([0.8, 0.2])
    optimizer = torch.optim.Adam(module.gate.parameters(), lr=0.02)
    for _ in range(60):
        weights = module(random_states(), WHOLE).gate
        loss = (weights.mean(0) - target).pow(2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(weights.mean(0), target, rtol=0, atol=0.02)


def test_token_preserving_keeps_one_token_for_a_few_states() -> None:
    module, states = differ(hybrid(None)), random_states()
    mask = torch.arange(11) < torch.tensor([[4], [11], [7]])
    tokens, _, real = module(states.masked_fill(~mask.unsqueeze(-1), 99), mask)
    assert module.num_tokens == 0
    assert module.states_per_token == 2
    assert tokens.shape == (3, 6, 5)
    assert real.sum(1).tolist() == [2, 6, 4]
    for i, length in enumerate((4, 11, 7)):
        alone = module(states[i : i + 1, :length], mask[i : i + 1, :length])
        torch.testing.assert_close(tokens[i, real[i]], alone.tokens[0])


def test_squares_of_two_by_two_cells_are_joined() -> None:
    merger = Merger(1, 5, pooler=None, merge=4, grid=4, hidden_size=8)
    states = torch.arange(32.0).reshape(1, 32, 1)  # two frames of 4 × 4 cells
    got = merger.groups(states, torch.ones(1, 32, dtype=torch.bool))[0, :, :, 0]
    assert got[:3].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13]]
    assert got[4].tolist() == [16, 17, 20, 21]
    for merge, grid in ((3, 4), (4, 3)):
        with pytest.raises(ConfigError, match="a square"):
            Merger(1, 5, pooler=None, merge=merge, grid=grid)
    with pytest.raises(DataError, match="4 × 4"):
        merger(states[:, :20], torch.ones(1, 20, dtype=torch.bool))


def test_the_qformer_pooler_by_its_formula() -> None:
    torch.manual_seed(0)
    shape = QFormerShape(hidden_size=8, heads=2, intermediate_size=12)
    pooler = QFormerPooler(6, num_tokens=3, positions=12, shape=shape).double().eval()
    states = random_states().double()
    expected = qformer(pooler.qformer, states + pooler.qformer.positions.weight[:11], heads=2)
    torch.testing.assert_close(pooler(states, WHOLE), expected, rtol=0, atol=1e-6)
    assert pooler.output_size == 8


def test_a_projector_is_a_pooler_and_one_linear_map() -> None:
    torch.manual_seed(0)
    pooled = Projector(6, 4, pooler=partial(AttentionPooler, normalize="none"), output_rms=9.0)
    states = random_states()
    scores = (
        torch.einsum("nsd,kd->nsk", states, pooled.pooler.score.weight) + pooled.pooler.score.bias
    )
    z = torch.einsum("nsk,nsd->nkd", scores, states)
    torch.testing.assert_close(pooled(states, WHOLE).tokens, pooled.project(z))
    assert pooled.num_tokens == 1
    each = Projector(6, 4)
    mask = torch.arange(11) < torch.tensor([[4], [11], [7]])
    tokens, gates, real = each(states, mask)
    torch.testing.assert_close(tokens, each.project(states))
    assert torch.equal(real, mask)
    assert gates is None


def test_a_projectors_tokens_may_be_repeated() -> None:
    pooler = partial(AttentionPooler, num_tokens=2)
    several = Projector(6, 4, pooler=pooler, repeat=3)
    tokens = several(random_states(), WHOLE).tokens
    assert several.num_tokens == tokens.shape[1] == 6
    once = several.project(several.pooler(random_states(), WHOLE))
    assert torch.equal(tokens, once[:, [0, 0, 0, 1, 1, 1]])
    with pytest.raises(ConfigError, match="repeat"):
        Projector(6, 4, repeat=3)


def test_an_experts_pooler_of_another_width_is_refused() -> None:
    with pytest.raises(ConfigError, match="8 wide"):
        Merger(6, 5, pooler=partial(QFormerPooler, shape=QFormerShape(hidden_size=8, heads=2)))
