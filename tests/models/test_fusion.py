"""Pre-fusion: recomputed from the formulas, absent streams take no part, and each one learns."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from affect_mllm.models.encoders.base import States
from affect_mllm.models.fusion.attention import AttentionFusion
from affect_mllm.models.fusion.base import Fusion, gather
from affect_mllm.models.fusion.conv_attention import ConvAttentionFusion
from affect_mllm.models.fusion.qformer import QFormerFusion
from affect_mllm.models.qformer import QFormerShape
from affect_mllm.types import ConfigError, DataError
from tests.models.bert import qformer

SIZES = {"visual": 5, "audio": 3}
SHAPE = QFormerShape(hidden_size=8, heads=2, intermediate_size=12)
KINDS = {
    "none": partial(AttentionFusion, hidden_size=4, normalize="none"),
    "softmax": partial(AttentionFusion, hidden_size=4, normalize="softmax", input_norm=True),
    "qformer": partial(QFormerFusion, num_states=3, common_size=6, positions=20, shape=SHAPE),
    "conv": partial(
        ConvAttentionFusion, num_states=4, size=6, inner_size=8, output_size=10, blocks=2
    ),
}


def made(kind: str) -> Fusion:
    torch.manual_seed(0)
    return KINDS[kind](SIZES).double().eval()


def streams(items: int = 3, lengths: tuple[int, int] = (4, 7)) -> list[States]:
    torch.manual_seed(1)
    return [
        States(
            torch.randn(items, length, size, dtype=torch.float64),
            torch.ones(items, length, dtype=torch.bool),
        )
        for length, size in zip(lengths, SIZES.values(), strict=True)
    ]


def linear(layer: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    assert isinstance(layer, torch.nn.Linear)
    return torch.einsum("oi,...i->...o", layer.weight, x) + layer.bias


@pytest.mark.parametrize("normalize", ["none", "softmax"])
def test_attention_is_the_published_formula(normalize: str) -> None:
    torch.manual_seed(0)
    module = AttentionFusion(SIZES, hidden_size=4, normalize=normalize).double()  # type: ignore[arg-type]
    visual, audio = streams()
    h_v = linear(module.embed["visual"], visual.values.mean(1))
    h_a = linear(module.embed["audio"], audio.values.mean(1))
    w = linear(module.weights, linear(module.attention, torch.cat([h_v, h_a], 1)))
    if normalize == "softmax":
        w = w.exp() / w.exp().sum(1, keepdim=True)
    expected = (w[:, :1] * h_v + w[:, 1:] * h_a).unsqueeze(1)
    torch.testing.assert_close(module([visual, audio]), expected, rtol=0, atol=1e-6)


def test_the_qformer_is_the_published_formula() -> None:
    module = made("qformer")
    assert isinstance(module, QFormerFusion)
    visual, audio = streams()
    both = [linear(module.embed[n], s.values) for n, s in zip(SIZES, (visual, audio), strict=True)]
    x = torch.cat(both, 1) + module.qformer.positions.weight[:11]
    expected = qformer(module.qformer, x, heads=2)
    torch.testing.assert_close(module([visual, audio]), expected, rtol=0, atol=1e-6)


def mlp(layers: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Two linear maps, each with a ReLU behind it."""
    assert isinstance(layers, torch.nn.Sequential)
    return linear(layers[3], linear(layers[0], x).clamp_min(0)).clamp_min(0)


def test_conv_attention_step_by_step() -> None:
    module = made("conv")
    assert isinstance(module, ConvAttentionFusion)
    visual, audio = streams(lengths=(4, 4))  # as many steps as states: nothing is averaged
    h_v, h_a = (mlp(module.embed[n], s.values) for n, s in zip(SIZES, (visual, audio), strict=True))
    joined = torch.cat([h_v, h_a], -1)
    w = linear(module.weights, mlp(module.attention, joined))
    mixed = w[..., :1] * h_v + w[..., 1:] * h_a
    steps = joined @ module.entry.weight[:, :, 0].T + module.entry.bias
    for block in module.blocks:
        assert isinstance(block, torch.nn.Conv1d)
        padded = torch.nn.functional.pad(steps, (0, 0, 1, 1))
        rows = [padded[:, t : t + 3].transpose(1, 2).flatten(1) for t in range(4)]
        conv = torch.stack([row @ block.weight.flatten(1).T + block.bias for row in rows], 1)
        steps = steps + conv * torch.sigmoid(conv)
    expected = linear(module.output, mixed + steps)
    torch.testing.assert_close(module([visual, audio]), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_an_absent_stream_takes_no_part_and_is_not_a_zero_one(kind: str) -> None:
    module, (visual, audio) = made(kind), streams()
    mask = audio.mask & torch.tensor([[False], [True], [False]])
    got = module([visual, States(audio.values, mask)])
    noise = audio.values.masked_fill(~mask.unsqueeze(-1), 1e6)
    torch.testing.assert_close(module([visual, States(noise, mask)]), got)
    assert torch.isfinite(got).all()
    silent = module([visual, States(torch.zeros_like(audio.values), audio.mask)])
    assert not torch.allclose(silent[0], got[0])
    torch.testing.assert_close(module([visual, audio])[1], got[1])


@pytest.mark.parametrize("kind", KINDS)
def test_each_sample_is_fused_on_its_own_whatever_is_behind_it(kind: str) -> None:
    module, full = made(kind), streams()
    lengths = {"visual": [4, 2, 3], "audio": [1, 7, 5]}
    cut = []
    for name, stream in zip(SIZES, full, strict=True):
        mask = torch.arange(stream.mask.shape[1]) < torch.tensor(lengths[name])[:, None]
        cut.append(States(stream.values.masked_fill(~mask.unsqueeze(-1), 99), mask))
    together = module(cut)
    assert together.shape == (3, module.num_states, module.hidden_size)
    for i in range(3):
        alone = [
            States(s.values[i : i + 1, : lengths[n][i]], s.mask[i : i + 1, : lengths[n][i]])
            for n, s in zip(SIZES, cut, strict=True)
        ]
        torch.testing.assert_close(together[i : i + 1], module(alone))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_from_scratch_a_question_about_both_streams(kind: str) -> None:
    """The first stream is absent half of the time."""
    torch.manual_seed(3)
    module = KINDS[kind](SIZES).train()
    head = torch.nn.Linear(module.num_states * module.hidden_size, 1)
    optimizer = torch.optim.Adam([*module.parameters(), *head.parameters()], lr=1e-2)
    values = [torch.randn(64, 4, size) for size in SIZES.values()]
    there = torch.rand(64) < 0.5
    truth = (values[0][..., 0].mean(1) * there + values[1][..., 0].mean(1) > 0).float()
    masks = [there[:, None].expand(64, 4), torch.ones(64, 4, dtype=torch.bool)]
    given = [States(v, m) for v, m in zip(values, masks, strict=True)]
    losses = []
    for _ in range(120):
        guess = head(module(given).flatten(1)).squeeze(1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(guess, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]
    assert all(p.grad is not None for p in module.parameters())


def test_states_of_several_modalities_become_one_stream() -> None:
    one = States(torch.tensor([[[1.0], [2.0]]]), torch.tensor([[True, True]]))
    two = States(torch.tensor([[[3.0]], [[4.0]]]), torch.tensor([[True], [True]]))
    got = gather([(one, [1]), (two, [0, 1])], 3, like=torch.zeros(1, 1))
    assert [got.values[i][got.mask[i]].flatten().tolist() for i in range(3)] == [[3], [1, 2, 4], []]
    nobody = gather([], 2, like=torch.zeros(1, 5))
    assert nobody.values.shape == (2, 1, 5)
    assert not nobody.mask.any()


def test_more_states_than_positions_are_refused() -> None:
    with pytest.raises(DataError, match=r"24 states[\s\S]*at most 20"):
        made("qformer")(streams(lengths=(12, 12)))


def test_of_a_stream_the_first_state_may_stand_at_every_step() -> None:
    torch.manual_seed(0)
    module = ConvAttentionFusion(SIZES, num_states=4, size=6, first_only=["visual"]).double()
    visual, audio = streams()
    got = module.eval()([visual, audio])
    repeated = States(visual.values[:, :1].expand(-1, 4, -1), visual.mask)
    module.first_only = frozenset()
    torch.testing.assert_close(module([repeated, audio]), got)
    with pytest.raises(ConfigError, match="picture"):
        ConvAttentionFusion(SIZES, first_only=["picture"])
