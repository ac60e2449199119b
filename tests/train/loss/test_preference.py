"""Losses on pairs: TRL's own numbers, and what has to hold where the policy is the reference."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from affect_mllm.data.collate import collate
from affect_mllm.train.keep.reference import Reference
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.loss.preference import (
    OddsRatio,
    Pairs,
    Preference,
    RewardModel,
    SimPO,
)
from affect_mllm.train.loss.token import TokenLoss
from affect_mllm.types import ConfigError, DataError
from tests import tiny as parts

RECORDED = json.loads((Path(__file__).parent / "recorded" / "trl.json").read_text())
LONG, SHORT = "sad and tired and slow", "happy"
SEEN = (("face", "audio", "text"), ("text",), ("audio",))


def pairs(tokens: torch.Tensor, lengths: list[int]) -> Pairs:
    """Of log-probabilities `[2P, L]`, the preferred answers first."""
    sums, counts = tokens.sum(1), torch.tensor(lengths, dtype=tokens.dtype)
    half = len(sums) // 2
    return Pairs(sums[:half], sums[half:], counts[:half], counts[half:])


@pytest.mark.parametrize(
    "case", RECORDED["preference"]["cases"], ids=lambda c: f"{c['kind']} {c['beta']}"
)
def test_values_and_gradients_are_trls(case) -> None:
    given = RECORDED["preference"]
    tokens = torch.tensor(given["logps"], dtype=torch.float64, requires_grad=True)
    before = torch.tensor(given["reference"], dtype=torch.float64)
    now = pairs(tokens, given["lengths"])
    half = len(before) // 2
    then = Pairs(before[:half], before[half:], now.chosen_tokens, now.rejected_tokens)
    if case["kind"] == "sft":  # TRL takes the mean over the batch's tokens, this one over pairs
        each, _ = Preference(sft=1.0).cost(now, then)
        plain, _ = Preference().cost(now, then)
        torch.testing.assert_close(each - plain, -now.chosen / now.chosen_tokens)
        weight = now.chosen_tokens / now.chosen_tokens.sum()
        mean = float(((each - plain) * weight).sum().detach())
        assert mean == pytest.approx(case["loss"], abs=1e-12)
        return
    loss = Preference(kind=case["kind"], beta=case["beta"], flipped=case["flipped"])
    each, _ = loss.cost(now, then)
    assert float(each.mean().detach()) == pytest.approx(case["loss"], abs=1e-12)
    (grad,) = torch.autograd.grad(each.mean(), tokens)
    real = torch.arange(tokens.shape[1]) < torch.tensor(given["lengths"]).unsqueeze(1)
    expected = torch.tensor(case["gradient"], dtype=torch.float64)
    torch.testing.assert_close(grad * real, expected * real, rtol=0, atol=1e-12)


def test_orpo_and_simpo_are_trls() -> None:
    case = RECORDED["odds_ratio"]
    more, less = (torch.tensor(case[key], dtype=torch.float64) for key in ("more", "less"))
    one = torch.ones_like(more)
    each, _ = OddsRatio(ratio=case["ratio"]).cost(Pairs(more, less, one, one), None)
    subtracted = torch.tensor(case["subtracted"], dtype=torch.float64)
    torch.testing.assert_close(each, -more - subtracted, rtol=1e-5, atol=1e-6)  # float32 there
    case = RECORDED["simpo"]
    more, less = (torch.tensor(case[key], dtype=torch.float64) for key in ("more", "less"))
    each, _ = SimPO(beta=case["beta"], gamma=case["gamma"]).cost(Pairs(more, less, one, one), None)
    torch.testing.assert_close(each, torch.tensor(case["losses"], dtype=torch.float64))


def test_ipo_is_at_rest_at_half_of_one_over_beta() -> None:
    one = torch.ones(1, dtype=torch.float64)
    at = torch.tensor([1 / 0.8], dtype=torch.float64, requires_grad=True)
    zero = Pairs(0 * one, 0 * one, one, one)
    each, margin = Preference(kind="ipo", beta=0.4).cost(Pairs(at, 0 * one, one, one), zero)
    assert (float(each.detach()), float(margin)) == (0.0, 1.25)
    assert float(torch.autograd.grad(each.sum(), at)[0]) == 0.0


@pytest.fixture(scope="module")
def model(tiny):
    made = tiny.model()
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            trains = name.startswith("compressors.") or "lora_" in name
            parameter.requires_grad_(trains)
            if trains:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return made


def batch_of(tiny, model, *, swapped: bool = False, answers=(LONG, SHORT)):
    answers = answers[::-1] if swapped else answers
    return collate(parts.examples(tiny, model, SEEN, answers), pad_id=0, row_tokens=300)


def learnt(model, loss, batch) -> tuple[float, dict[str, torch.Tensor], dict[str, float]]:
    """The loss a pair, its gradients, and what the log says."""
    model.zero_grad()
    objective = Objective({"it": loss})
    terms = model(batch, objective)
    value = terms.losses["it"] / loss.count(batch)
    value.backward()
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    notes = {name: float(t[0] / t[1]) for name, t in terms.notes.items()}
    return float(value.detach()), grads, notes


def test_where_the_policy_is_the_reference_the_loss_is_ln_2(tiny, model) -> None:
    reference = Reference(model)
    batch = reference.beside(batch_of(tiny, model))
    value, grads, notes = learnt(model, Preference(), batch)
    assert value == pytest.approx(math.log(2), abs=1e-7)
    assert notes["it/margin"] == 0.0
    assert notes["it/accuracy"] == 0.5
    assert notes["it/longer"] == 1.0
    # −β/2 a pair and token of the preferred answer, +β/2 of the other: that of their likelihoods.
    swapped, other, back = learnt(
        model, Preference(), reference.beside(batch_of(tiny, model, swapped=True))
    )
    assert (swapped, back["it/longer"]) == (value, 0.0)
    largest = max(float(each.abs().max()) for each in grads.values())
    assert largest > 0
    for name, grad in grads.items():
        torch.testing.assert_close(other[name], -grad, rtol=1e-3, atol=1e-5 * largest, msg=name)
    torch.testing.assert_close(
        notes["it/logp_chosen"], back["it/logp_rejected"], rtol=1e-5, atol=1e-4
    )


def test_the_gradient_of_a_token_is_beta_over_two() -> None:
    tokens = -torch.rand(4, 3, dtype=torch.float64)
    tokens.requires_grad_()
    now = pairs(tokens, [3, 3, 3, 3])
    then = Pairs(*(each.detach() for each in now))
    (grad,) = torch.autograd.grad(Preference(beta=0.1).cost(now, then)[0].sum(), tokens)
    torch.testing.assert_close(grad[:2], torch.full_like(grad[:2], -0.05))
    torch.testing.assert_close(grad[2:], torch.full_like(grad[2:], 0.05))


def test_the_reference_stays_while_all_trained_weights_change(tiny, model) -> None:
    """Connectors, too: switching LoRA off would be another model."""
    reference = Reference(model)
    batch = batch_of(tiny, model)
    before = reference.beside(batch).reference
    kept = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    assert any(name.startswith("compressors.") for name in kept)
    with torch.no_grad():
        for name in kept:
            dict(model.named_parameters())[name].add_(0.02)
    moved = {n: p.detach().clone() for n, p in model.named_parameters() if n in kept}
    model.train()
    after = reference.beside(batch).reference
    assert model.training
    model.eval()
    assert torch.equal(before, after)
    assert learnt(model, Preference(), reference.beside(batch))[2]["it/margin"] != 0
    named = dict(model.named_parameters())
    assert all(torch.equal(named[name], moved[name]) for name in kept), "its own weights are back"
    with torch.no_grad():
        for name, value in kept.items():
            named[name].copy_(value)


@pytest.mark.parametrize(
    "loss", [Preference(kind="sigmoid_norm", sft=0.5), OddsRatio(), SimPO(sft=0.2), RewardModel()]
)
def test_steps_put_the_preferred_answer_first(tiny, loss) -> None:
    model = tiny.model()
    trained = [p for n, p in model.named_parameters() if "lora_" in n]
    for parameter in trained:
        parameter.requires_grad_(True)
    head = loss.head(model.llm.hidden_size)
    if head is not None:
        model.heads["it"] = head
        trained += head.parameters()
    reference = Reference(model)
    batch = reference.beside(batch_of(tiny, model, answers=(SHORT, LONG)))
    optimizer = torch.optim.Adam(trained, lr=3e-2)
    first = learnt(model, loss, batch)
    for _ in range(6):
        optimizer.step()
        last = learnt(model, loss, batch)
    assert last[0] < first[0]
    assert last[2]["it/margin"] > first[2]["it/margin"]
    assert last[2]["it/accuracy"] == 1.0


def test_a_plain_example_counts_for_the_language_model_alone(tiny, model) -> None:
    mixed = parts.examples(tiny, model, SEEN, (LONG, SHORT))
    plain = parts.examples(tiny, model, SEEN[:1], SHORT)
    both, lm = collate([*mixed, *plain], pad_id=0, row_tokens=500), TokenLoss()
    alone = collate(plain, pad_id=0)
    assert Preference().count(both) == 3
    assert lm.count(both) == lm.count(alone) > 0
    values = [float(model(b, Objective({"lm": lm})).losses["lm"].detach()) for b in (both, alone)]
    assert values[0] == pytest.approx(values[1], abs=1e-4)
    empty = Reference(model).beside(alone)
    assert float(model(empty, Objective({"it": Preference()})).losses["it"].detach()) == 0.0


def test_what_cannot_be_is_said(tiny, model) -> None:
    with pytest.raises(ConfigError, match="flipped above 0"):
        Preference(kind="robust")
    with pytest.raises(ConfigError, match="flipped above 0"):
        Preference(flipped=0.1)
    three = collate(parts.examples(tiny, model, SEEN[:1], ("a", "b", "c")), pad_id=0)
    with pytest.raises(DataError, match="3 answers"):
        Preference().count(three)
    pair = batch_of(tiny, model)
    assert replace(pair, host=pair).reference is None
    with pytest.raises(ConfigError, match="no reference"):
        model(pair, Objective({"it": Preference()}))
