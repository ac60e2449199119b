"""Policy gradients: TRL's own numbers, and the true gradient over all groups that can be drawn."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch

from affect_mllm.train.loss.policy import (
    Clip,
    Divergence,
    GroupPolicy,
    advantages,
    divergence,
    is_dead,
    surrogate,
)
from affect_mllm.types import ConfigError

RECORDED = json.loads((Path(__file__).parent / "recorded" / "trl.json").read_text())["policy"]
DIVISORS = ("tokens", "answers", "constant")


def flat(name: str) -> torch.Tensor:
    """The real tokens of a recorded `[N, L]`, one answer after another."""
    rows = torch.tensor(RECORDED[name], dtype=torch.float64)
    return torch.cat([row[:n] for row, n in zip(rows, RECORDED["lengths"], strict=True)])


@pytest.mark.parametrize(
    "case",
    RECORDED["cases"],
    ids=lambda c: f"{c['over']} {c['ratio']} {c['beta']} {'fresh' if c['fresh'] else 'old'}",
)
def test_values_and_gradients_are_trls(case) -> None:
    lengths = [n for n in RECORDED["lengths"] if n]
    logps = flat("logps").requires_grad_()
    each = [a for a, n in zip(RECORDED["advantages"], RECORDED["lengths"], strict=True) if n]
    spread = [a for a, n in zip(each, lengths, strict=True) for _ in range(n)]
    advantage = torch.tensor(spread, dtype=torch.float64)
    low, high = case["clip"]
    loss = GroupPolicy(
        over=case["over"],
        ratio=case["ratio"],
        clip=low,
        clip_high=high,
        cap=case["cap"],
        old="own" if case["fresh"] else "sampled",
    )
    terms, _ = loss.terms(logps, flat("old"), advantage, lengths)
    total = terms.sum()
    if case["beta"]:
        # There k3 times the ratio; where that is 1 it has our gradient, and else its own.
        ahead = flat("reference") - logps
        old = logps.detach() if case["fresh"] else flat("old")
        ratio = (logps - old).exp()
        if case["ratio"] == "sequence":
            means = [p.mean() for p in (logps - old).split(lengths)]
            ratio = torch.cat([m.exp().expand(n) for m, n in zip(means, lengths, strict=True)])
        theirs = (torch.expm1(ahead) - ahead) * ratio
        ours = divergence(logps, flat("reference"))
        if case["fresh"] and case["ratio"] == "token":
            torch.testing.assert_close(ours, theirs)
            (one,), (two,) = (torch.autograd.grad(x.sum(), logps) for x in (ours, theirs.clone()))
            torch.testing.assert_close(one, two)
            theirs = divergence(logps, flat("reference"))
        if case["over"] == "answers":
            theirs = theirs / torch.tensor([n for n in lengths for _ in range(n)])
        total = total + case["beta"] * theirs.sum()
    count = {"tokens": sum(lengths), "answers": 8, "constant": 8 * 6}[case["over"]]
    loss_value = total / count
    assert float(loss_value.detach()) == pytest.approx(case["loss"], abs=1e-12)
    (grad,) = torch.autograd.grad(loss_value, logps)
    expected = torch.tensor(case["gradient"], dtype=torch.float64)
    rows = zip(expected, RECORDED["lengths"], strict=True)
    torch.testing.assert_close(grad, torch.cat([r[:n] for r, n in rows]), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("over", "short", "long", "value"),
    [
        ("answers", -0.5, 1 / 6, 0.0),
        ("tokens", -0.25, 0.25, 0.5),
        ("constant", -0.125, 0.125, 0.25),
    ],
)
def test_two_answers_of_one_and_three_tokens(over, short, long, value) -> None:
    """Advantages 1 and −1, L = 4."""
    logps = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    advantage = torch.tensor([1.0, -1.0, -1.0, -1.0], dtype=torch.float64)
    each, _ = GroupPolicy(over=over).terms(logps, logps.detach(), advantage, [1, 3])
    total = each.sum() / {"answers": 2, "tokens": 4, "constant": 8}[over]
    (grad,) = torch.autograd.grad(total, logps)
    torch.testing.assert_close(grad, torch.tensor([short, long, long, long], dtype=torch.float64))
    assert float(total.detach()) == pytest.approx(value)


@pytest.mark.parametrize(
    ("ratio", "advantage", "slope"), [(1.5, 1, 0.0), (0.5, -1, 0.0), (1.5, -1, 1.5), (0.5, 1, -0.5)]
)
def test_the_clip_holds_what_leads_too_far(ratio: float, advantage: int, slope: float) -> None:
    log_ratio = torch.tensor([ratio], dtype=torch.float64).log().requires_grad_()
    each, acts = surrogate(log_ratio, torch.tensor([float(advantage)]).double(), Clip())
    assert float(torch.autograd.grad(each.sum(), log_ratio)[0]) == pytest.approx(slope)
    assert bool(acts) == (slope == 0)


# Four answers of one to three tokens over {a, b, end}, as paths through a tree of states.
ANSWERS = {"e": 0.2, "ae": 1.0, "abe": 0.5, "b": -0.3}
STATES = {"": "aeb", "a": "eb", "ab": "e"}


def policy(weights: torch.Tensor) -> dict[str, list[torch.Tensor]]:
    """log p of each token of each answer; `weights` `[5]` are logits of what can be chosen."""
    first, second = torch.log_softmax(weights[:3], 0), torch.log_softmax(weights[3:], 0)
    sure = 0 * weights.sum()
    return {
        "e": [first[1]],
        "ae": [first[0], second[0]],
        "abe": [first[0], second[1], sure],
        "b": [first[2]],
    }


def expected_gradient(over: str, scale: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Over all 64 groups of three: the loss's own gradient, and the expected reward's."""
    torch.manual_seed(0)
    weights = torch.randn(5, dtype=torch.float64, requires_grad=True)
    tokens = policy(weights)
    chance = {name: torch.stack(own).sum().exp() for name, own in tokens.items()}
    loss = GroupPolicy(over=over, scale=scale)  # type: ignore[arg-type]
    mean = torch.zeros(5, dtype=torch.float64)
    for group in itertools.product(ANSWERS, repeat=3):
        ahead = advantages([ANSWERS[name] for name in group], scale)  # type: ignore[arg-type]
        lengths = [len(tokens[name]) for name in group]
        logps = torch.cat([torch.stack(tokens[name]) for name in group])
        each = [a for a, n in zip(ahead, lengths, strict=True) for _ in range(n)]
        advantage = torch.tensor(each, dtype=torch.float64)
        terms, _ = loss.terms(logps, logps.detach(), advantage, lengths)
        count = {"tokens": sum(lengths), "answers": 3, "constant": 9}[over]
        share = torch.stack([chance[name] for name in group]).prod().detach()
        (grad,) = torch.autograd.grad(terms.sum() / count, weights, retain_graph=True)
        mean += share * grad
    reward = sum(p * ANSWERS[name] for name, p in chance.items())
    (true,) = torch.autograd.grad(reward, weights)
    return -mean, true


def test_the_expected_gradient_over_all_groups_is_that_of_the_expected_reward() -> None:
    """Times (G − 1)/(G · L): the strongest test of baseline, divisor and sign there is."""
    mean, true = expected_gradient("constant", "none")
    torch.testing.assert_close(mean, true * 2 / (3 * 3))


@pytest.mark.parametrize(
    ("over", "scale"),
    [("constant", "std"), ("tokens", "none"), ("answers", "none"), ("tokens", "std")],
)
def test_every_other_form_has_another_direction(over: str, scale: str) -> None:
    mean, true = expected_gradient(over, scale)
    cosine = float(torch.nn.functional.cosine_similarity(mean, true, dim=0))
    assert 0.5 < cosine < 0.9999


def test_the_divergence_has_the_right_value_and_the_right_gradient() -> None:
    """Expected over a vocabulary: KL and its gradient. k1 has none, plain k3 another's."""
    torch.manual_seed(3)
    weights = torch.randn(6, dtype=torch.float64, requires_grad=True)
    other = torch.log_softmax(torch.randn(6, dtype=torch.float64), 0)
    logps = torch.log_softmax(weights, 0)
    shares = logps.detach().exp()
    true = (logps.exp() * (logps - other)).sum()
    (slope,) = torch.autograd.grad(true, weights, retain_graph=True)
    ours = (shares * divergence(logps, other)).sum()
    assert float(ours.detach()) == pytest.approx(float(true.detach()))
    (got,) = torch.autograd.grad(ours, weights, retain_graph=True)
    torch.testing.assert_close(got, slope)
    for wrong in ((logps - other), torch.expm1(other - logps) - (other - logps)):
        (off,) = torch.autograd.grad((shares * wrong).sum(), weights, retain_graph=True)
        assert (off - slope).abs().max() > 0.01


@pytest.mark.parametrize("scale", ["none", "std"])
def test_advantages(scale) -> None:
    rewards = [0.3, 1.0, 0.5, 0.1]
    found = advantages(rewards, scale)
    assert sum(found) == pytest.approx(0)  # type: ignore[arg-type]
    assert advantages([r + 7 for r in rewards], scale) == pytest.approx(found)
    tripled = advantages([3 * r for r in rewards], scale)
    times = 3.0 if scale == "none" else 1.0
    assert tripled == pytest.approx([times * a for a in found])  # type: ignore[operator]
    # None: as the group without it; with one that is left the group is dead.
    left = advantages([0.3, None, 0.5, 0.1], scale)
    assert left[1] is None
    assert [a for a in left if a is not None] == advantages([0.3, 0.5, 0.1], scale)
    assert advantages([None, 1.0], scale) == [None, 0.0]
    assert is_dead([None, 1.0])


def test_a_tie_but_for_rounding_is_dead() -> None:
    """0.6 + 0.1 and 0.7 + 0.0 in float32 differ by 6e-8, which a small eps makes an advantage."""
    tied = [float(torch.tensor(0.6) + torch.tensor(0.1)), float(torch.tensor(0.7))]
    assert tied[0] != tied[1]
    assert advantages(tied, "std") == [0.0, 0.0]
    assert is_dead(tied)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ConfigError, match="below 1"):
        GroupPolicy(clip=1.5)
    assert Divergence().reference


@pytest.mark.parametrize("over", ["tokens", "answers", "constant"])
def test_no_answers_cost_nothing_by_token_and_by_sequence(over) -> None:
    nothing = torch.zeros(0)
    for ratio in ("token", "sequence"):
        each, acts = GroupPolicy(over=over, ratio=ratio).terms(nothing, nothing, nothing, ())
        assert (each.shape, acts.shape) == ((0,), (0,))
