"""What trains and how fast."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from affect_mllm.train.plan import optim
from affect_mllm.train.plan.optim import AdamW, Schedule, build, set_rates
from affect_mllm.train.plan.trainable import Group, select
from affect_mllm.types import ConfigError


def net() -> nn.ModuleDict:
    return nn.ModuleDict({name: nn.Linear(2, 3) for name in ("gate", "expert", "llm")})


def all_at(lr: float) -> dict[str, Group]:
    return {"all": Group(".*", lr)}


def test_matrices_decay_and_vectors_do_not() -> None:
    groups = {"gate": Group(r"gate\..*", 1e-3), "llm": Group(r"llm\..*", 1e-4)}
    optimizer = build(select(net(), groups), groups, weight_decay=0.1)
    found = {(g["name"], g["weight_decay"], g["params"][0].ndim) for g in optimizer.param_groups}
    assert found == {(name, decay, ndim) for name in groups for decay, ndim in ((0.1, 2), (0.0, 1))}
    rates = set_rates(optimizer, 0.5)
    assert rates == {"gate": 5e-4, "llm": 5e-5}
    assert sorted({g["lr"] for g in optimizer.param_groups}) == [5e-5, 5e-4]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Schedule("constant"), {0: 1.0, 50: 1.0, 99: 1.0}),
        (Schedule("constant", warmup_steps=4), {0: 0.25, 3: 1.0, 4: 1.0}),
        (Schedule("linear", warmup_steps=20, final=0.1), {19: 1.0, 20: 1.0, 60: 0.55, 100: 0.1}),
        (Schedule("cosine", warmup_steps=20, final=0.2), {20: 1.0, 60: 0.6, 100: 0.2}),
        (Schedule("cosine"), {25: (1 + math.cos(math.pi / 4)) / 2}),
    ],
)
def test_schedule_values(schedule: Schedule, expected: dict[int, float]) -> None:
    assert {step: schedule.factor(step, 100) for step in expected} == pytest.approx(expected)


def test_wsd_stays_and_then_falls_in_a_straight_line() -> None:
    schedule = Schedule("wsd", warmup_steps=10, final=0.2, decay=0.25)
    expected = {0: 0.1, 9: 1.0, 10: 1.0, 75: 1.0, 80: 0.84, 90: 0.52, 100: 0.2}
    assert {step: schedule.factor(step, 100) for step in expected} == pytest.approx(expected)
    longer = {step: schedule.factor(step, 400) for step in (9, 80, 299)}
    assert longer == {9: 1.0, 80: 1.0, 299: 1.0}, "a longer stage has the same past"


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5])
def test_a_decay_that_is_no_share_is_refused(share) -> None:
    with pytest.raises(ConfigError, match=r"schedule\.decay"):
        Schedule("wsd", decay=share)


def test_a_group_has_a_weight_decay_of_its_own() -> None:
    trainable = {
        "gate": Group(r"gate\..*", 1e-3, 0.5),
        "llm": Group(r"llm\..*", 1e-4),
        "rest": Group("expert.*", 2.0),
    }
    optimizer = build(select(net(), trainable), trainable, weight_decay=0.1)
    found = {(g["name"], g["peak_lr"], g["weight_decay"]) for g in optimizer.param_groups}
    assert found == {
        ("gate", 1e-3, 0.5),
        ("gate", 1e-3, 0.0),
        ("llm", 1e-4, 0.1),
        ("llm", 1e-4, 0.0),
        ("rest", 2.0, 0.1),
        ("rest", 2.0, 0.0),
    }


def test_the_fused_step_is_the_plain_one() -> None:
    results = []
    for fused in (True, False):
        torch.manual_seed(0)
        model = net()
        optimizer = build(
            select(model, all_at(0.1)), all_at(0.1), weight_decay=0.1, settings=AdamW(fused=fused)
        )
        for _ in range(3):
            set_rates(optimizer, 1.0)
            torch.stack([p.pow(2).sum() for p in model.parameters()]).sum().backward()
            optimizer.step()
        results.append(torch.cat([p.flatten() for p in model.parameters()]))
    torch.testing.assert_close(*results)


def test_eight_bits_of_split_moments_are_refused() -> None:
    for strategy in ("zero1", "zero2", "zero3", "zero3_offload", "fsdp2"):
        with pytest.raises(ConfigError, match=rf"strategy={strategy}(.|\n)*bits=32"):
            AdamW(bits=8).check(strategy)
        AdamW().check(strategy)
    AdamW(bits=8).check("ddp")


def test_eight_bits_without_the_package_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(optim.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="bitsandbytes is not installed"):
        build(select(net(), all_at(1.0)), all_at(1.0), weight_decay=0.0, settings=AdamW(bits=8))


def test_a_schedule_of_only_warm_up_does_not_divide_by_zero() -> None:
    assert Schedule("cosine", warmup_steps=5).factor(4, 5) == 1.0
    assert math.isfinite(Schedule("linear", warmup_steps=5).factor(5, 5))


def test_no_decay_means_adamw_leaves_a_vector_without_gradient_alone() -> None:
    model = net()
    optimizer = build(select(model, all_at(1.0)), all_at(1.0), weight_decay=0.5)
    set_rates(optimizer, 1.0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        factor = 1.0 if name.endswith("bias") else 0.5
        torch.testing.assert_close(parameter.detach(), before[name] * factor)
