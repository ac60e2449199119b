"""What trains and how fast: parameter groups from regexes, learning rate as a function of step."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from affect_mllm.types import ConfigError


@dataclass(frozen=True)
class Schedule:
    """Factor on every peak learning rate: linear warm-up, then cosine, linear or constant."""

    kind: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_steps: int = 0
    final: float = 0.0

    def factor(self, step: int, steps: int) -> float:
        """The factor of `step` (from 0) in a stage of `steps`."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.kind == "constant":
            return 1.0
        done = (step - self.warmup_steps) / max(1, steps - self.warmup_steps)
        fall = (1 + math.cos(math.pi * done)) / 2 if self.kind == "cosine" else 1 - done
        return self.final + (1 - self.final) * fall


def select(model: nn.Module, trainable: Mapping[str, float]) -> dict[str, list[nn.Parameter]]:
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


def adamw(
    groups: Mapping[str, list[nn.Parameter]], peaks: Mapping[str, float], *, weight_decay: float
) -> torch.optim.AdamW:
    """AdamW over the groups; vectors (norms, biases) are not decayed."""
    made = []
    for regex, members in groups.items():
        for decay, part in (
            (weight_decay, [p for p in members if p.ndim > 1]),
            (0.0, [p for p in members if p.ndim <= 1]),
        ):
            if part:
                made.append(
                    {"params": part, "weight_decay": decay, "peak_lr": peaks[regex], "name": regex}
                )
    return torch.optim.AdamW(made, lr=0.0, betas=(0.9, 0.98), eps=1e-8)


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
