"""How fast it trains: the optimiser over named groups, learning rate as a function of step."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt
from torch import nn

from affect_mllm.train.plan.trainable import Group
from affect_mllm.types import ConfigError


@dataclass(frozen=True)
class Schedule:
    """Factor on every peak learning rate: linear warm-up, then one of four shapes.

    `cosine` and `linear` fall to `final` by the last step, `constant` stays. `wsd` stays too and
    falls in a straight line during the last share `decay` of the stage (MiniCPM, arXiv 2404.06395
    §4: warm-up, stable, decay), so that a stage can be made longer without a wrong past.
    `kind` is one of these shapes, `warmup_steps` how long the rate rises.
    """

    kind: Literal["cosine", "linear", "constant", "wsd"] = "cosine"
    warmup_steps: NonNegativeInt = 0
    final: NonNegativeFloat = 0.0
    decay: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.decay <= 1:
            raise ConfigError("schedule.decay", f"{self.decay}", expected="a share, 0 < decay ≤ 1")

    def factor(self, step: int, steps: int) -> float:
        """The factor of `step` (from 0) in a stage of `steps`."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.kind == "constant":
            return 1.0
        begin = self.warmup_steps
        if self.kind == "wsd":
            begin = max(begin, steps - math.ceil(self.decay * steps))
        done = max(0, step - begin) / max(1, steps - begin)
        fall = (1 + math.cos(math.pi * done)) / 2 if self.kind == "cosine" else 1 - done
        return self.final + (1 - self.final) * fall


@dataclass(frozen=True)
class AdamW:
    """AdamW's settings. `fused` is torch's one-kernel step, on CPU and CUDA alike.

    `bits=8` keeps the two moments in 8 bits (bitsandbytes; Dettmers et al., arXiv 2110.02861):
    a quarter of the optimiser's memory.
    `betas` are the decays of the two moments, `eps` what their quotient's root is kept from zero
    by.
    """

    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    fused: bool = True
    bits: Literal[8, 32] = 32

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The optimiser over parameter groups. Raises ConfigError if 8 bits cannot be had."""
        betas = (self.betas[0], self.betas[1])
        if self.bits == 32:
            return torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=self.eps, fused=self.fused)
        if importlib.util.find_spec("bitsandbytes") is None:
            raise ConfigError(
                "stage.optimizer.bits",
                "8, but the package bitsandbytes is not installed",
                fix="pip install 'affect-mllm[qlora]', or set stages.NAME.optimizer.bits=32",
            )
        from bitsandbytes.optim import AdamW8bit

        return AdamW8bit(groups, lr=0.0, betas=betas, eps=self.eps)

    def check(self, strategy: str) -> None:
        """ConfigError where 8 bits cannot be kept: their blocks are of whole weights."""
        if self.bits == 8 and strategy not in ("single", "ddp"):
            raise ConfigError(
                "stage.optimizer.bits",
                f"8, with launch.strategy={strategy}",
                expected="single or ddp: the others split the moments over ranks",
                fix="set stages.NAME.optimizer.bits=32, or choose launch=ddp",
            )


def build(
    members: Mapping[str, list[nn.Parameter]],
    trainable: Mapping[str, Group],
    *,
    weight_decay: float,
    settings: AdamW | None = None,
) -> torch.optim.Optimizer:
    """AdamW over the groups' members, each with its peak rate and decay; vectors are not decayed.

    `weight_decay` is the stage's; a group may have its own.
    """
    made = []
    for name, parameters in members.items():
        group = trainable[name]
        own = weight_decay if group.weight_decay is None else group.weight_decay
        for decay, part in (
            (own, [p for p in parameters if p.ndim > 1]),
            (0.0, [p for p in parameters if p.ndim <= 1]),
        ):
            if part:
                named = {"peak_lr": group.lr, "name": name}
                made.append({"params": part, "weight_decay": decay, **named})
    return (settings or AdamW()).build(made)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> dict[str, float]:
    """Set each group's rate to factor × peak; the rates by group, for the log."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
    return {group["name"]: group["lr"] for group in optimizer.param_groups}
