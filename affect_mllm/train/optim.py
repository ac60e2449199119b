"""What trains and how fast: parameter groups from regexes, learning rate as a function of step."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt
from torch import nn

from affect_mllm.types import ConfigError


@dataclass(frozen=True)
class Schedule:
    """Factor on every peak learning rate: linear warm-up, then one of four shapes.

    `cosine` and `linear` fall to `final` by the last step, `constant` stays. `wsd` stays too and
    falls in a straight line during the last share `decay` of the stage (MiniCPM, arXiv 2404.06395
    §4: warm-up, stable, decay), so that a stage can be made longer without a wrong past.
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
class Rate:
    """One regex's peak learning rate, and a weight decay where it is not the stage's."""

    lr: NonNegativeFloat
    weight_decay: NonNegativeFloat | None = None

    @classmethod
    def of(cls, given: float | Rate | Mapping[str, float]) -> Rate:
        """From a YAML's value: a number, or `{lr: …, weight_decay: …}`."""
        if isinstance(given, Rate):
            return given
        return cls(**given) if isinstance(given, Mapping) else cls(given)


@dataclass(frozen=True)
class AdamW:
    """AdamW's settings. `fused` is torch's one-kernel step, on CPU and CUDA alike.

    `bits=8` keeps the two moments in 8 bits (bitsandbytes; Dettmers et al., arXiv 2110.02861):
    a quarter of the optimiser's memory.
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


def select(model: nn.Module, trainable: Mapping[str, Any]) -> dict[str, list[nn.Parameter]]:
    """Freeze all, then unfreeze what a regex matches in full; the first match decides.

    Returns the parameters by regex. A regex that matches no parameter is a ConfigError.
    """
    groups: dict[str, list[nn.Parameter]] = {regex: [] for regex in trainable}
    matched = dict.fromkeys(trainable, False)
    patterns = [(regex, re.compile(regex)) for regex in trainable]
    for name, parameter in model.named_parameters():
        hits = [regex for regex, pattern in patterns if pattern.fullmatch(name)]
        parameter.requires_grad_(bool(hits))
        matched.update(dict.fromkeys(hits, True))
        if hits:
            groups[hits[0]].append(parameter)
    for regex, hit in matched.items():
        if not hit:
            raise ConfigError(
                "stage.trainable",
                f"{regex!r} matches no parameter",
                expected=f"a regex for whole names such as {_examples(model)}",
            )
    return {regex: members for regex, members in groups.items() if members}


def build(
    groups: Mapping[str, list[nn.Parameter]],
    trainable: Mapping[str, Any],
    *,
    weight_decay: float,
    settings: AdamW | None = None,
) -> torch.optim.Optimizer:
    """AdamW over the groups, each with its peak rate and decay; vectors are not decayed.

    `weight_decay` is the stage's; a regex of `trainable` may have its own.
    """
    made = []
    for regex, members in groups.items():
        rate = Rate.of(trainable[regex])
        own = weight_decay if rate.weight_decay is None else rate.weight_decay
        for decay, part in (
            (own, [p for p in members if p.ndim > 1]),
            (0.0, [p for p in members if p.ndim <= 1]),
        ):
            if part:
                named = {"peak_lr": rate.lr, "name": regex}
                made.append({"params": part, "weight_decay": decay, **named})
    return (settings or AdamW()).build(made)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> dict[str, float]:
    """Set each group's rate to factor × peak; the rates by regex, for the log."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
    return {group["name"]: group["lr"] for group in optimizer.param_groups}


def _examples(model: nn.Module) -> str:
    """A parameter name of each top-level part that is not a pretrained base."""
    firsts: dict[str, str] = {}
    for name, _ in model.named_parameters():
        if name.startswith(("compressors.", "fusion.")) or "lora_" in name:
            firsts.setdefault(name.split(".")[0], name)
    return ", ".join(firsts.values())
