"""A stage of training, as data: what trains, on what, for how long, and what it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import nn

from affect_mllm.data.mixture import Mixing, Mixture, Source
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.train import optim
from affect_mllm.train.benchmarks import Asked
from affect_mllm.train.loss.objective import Loss
from affect_mllm.train.loss.token import TokenLoss
from affect_mllm.train.optim import AdamW, Schedule
from affect_mllm.train.trainable import Trainable, named, select
from affect_mllm.types import ConfigError


@dataclass(frozen=True)
class Best:
    """Keep the checkpoint with the best value of `metric`, such as `val/loss`, as `best`."""

    metric: str
    mode: Literal["min", "max"] = "min"

    def __post_init__(self) -> None:
        if self.metric.partition("/")[0].startswith("test"):
            raise ConfigError(
                "stage.best.metric",
                f"{self.metric} is of a test set",
                expected="a validation metric",
                fix="choose on `val/…`; the test set is for the one checkpoint that was chosen",
            )

    def better(self, value: float, than: float | None) -> bool:
        """Whether `value` beats the best so far."""
        return than is None or (value < than if self.mode == "min" else value > than)


@dataclass(frozen=True)
class Validation:
    """The stage's own loss on rows that are not trained on: `val/loss` every so many steps."""

    sources: list[Source]
    every: PositiveInt = 100
    batches: PositiveInt = 8

    def __post_init__(self) -> None:
        for source in self.sources:
            if source.split.startswith("test"):
                raise ConfigError(
                    "stage.validation.sources",
                    f"split {source.split} is a test set",
                    expected="a validation split",
                    fix="set one aside: nothing is chosen on a test set",
                )


@dataclass(frozen=True)
class Stage:
    """One entry of an experiment's `stages`.

    `trainable`: groups of parameters by name, each with its rate; what is in none is frozen.
    `ema` averages the trained weights with that decay.
    `losses`: by name. `experts`: the experts that the hybrid compressors' gates may use. `copy`:
    part of a parameter's name → part of the name it is copied to, done once when the stage begins.
    `init_from`: `previous` (the stage before, nothing for the first), or a checkpoint folder.
    `keep_last` resumable checkpoints stay until the stage is finished.
    """

    name: str
    trainable: Trainable
    sources: list[Source]
    steps: PositiveInt
    batch_size: PositiveInt = 16
    losses: dict[str, Loss] = field(default_factory=lambda: {"lm": TokenLoss()})
    experts: tuple[str, ...] = ("general", "emotion")
    copy: dict[str, str] = field(default_factory=dict)
    modality_dropout: float = 0.0
    schedule: Schedule = field(default_factory=Schedule)
    weight_decay: float = 0.01
    optimizer: AdamW = field(default_factory=AdamW)
    max_grad_norm: float = 1.0
    save_every: PositiveInt = 100
    keep_last: PositiveInt = 1
    validation: Validation | None = None
    best: Best | None = None
    benchmarks: Asked | None = None
    ema: float | None = None
    init_from: str = "previous"
    mixing: Mixing = field(default_factory=Mixing)

    def __post_init__(self) -> None:
        object.__setattr__(self, "trainable", named(self.trainable))

    def mixture(self, seed: int) -> Mixture:
        """The draws of all its steps."""
        return Mixture(
            self.sources,
            seed=seed,
            places=self.steps * self.batch_size,
            step_places=self.batch_size,
            mixing=self.mixing,
        )

    def validation_mixture(self, seed: int) -> Mixture:
        """The held-out draws; only of a stage that has a `validation`."""
        assert self.validation is not None
        return Mixture(
            self.validation.sources,
            seed=seed,
            places=self.validation.batches * self.batch_size,
            step_places=self.batch_size,
            mixing=self.mixing,
        )

    def optimizer_of(self, model: nn.Module) -> torch.optim.Optimizer:
        """Over the model's parameters as they are now: what splits a model makes new ones."""
        return optim.build(
            select(model, self.trainable),
            self.trainable,
            weight_decay=self.weight_decay,
            settings=self.optimizer,
        )

    def check_copies(self, model: AffectMLLM) -> None:
        """ConfigError for a copy that `prepare` could not make."""
        for source, target in self.copy.items():
            _twins(model, source, target)

    def prepare(self, model: AffectMLLM, *, fresh: bool) -> None:
        """Set the experts in use and, if the stage only begins (`fresh`), copy weights."""
        model.use_experts(self.experts)
        if fresh:
            for source, target in self.copy.items():
                copy_weights(model, source, target)

    def add_heads(self, model: AffectMLLM) -> None:
        """Give the model a new head for every loss that has one."""
        for name, loss in self.losses.items():
            head = loss.head(model.llm.hidden_size)
            if head is not None:
                model.heads[name] = head


def check_heads(model: nn.Module, losses: Mapping[str, Loss]) -> None:
    """ConfigError if the head of a loss does not train."""
    for name, parameter in model.named_parameters():
        if name.startswith("heads.") and not parameter.requires_grad:
            loss = name.split(".")[1]
            raise ConfigError(
                "stage.trainable",
                f"no group has {name}, of loss {loss} ({type(losses[loss]).__name__})",
                expected="a learning rate for the head of every loss",
                fix=r"add `heads: {match: 'heads\..*', lr: 1.0e-3}` to trainable",
            )


def copy_weights(model: AffectMLLM, source: str, target: str) -> None:
    """Copy every parameter with `source` in its name to the one with `target` instead."""
    for tensor, twin in _twins(model, source, target):
        twin.copy_(tensor)


def _twins(model: AffectMLLM, source: str, target: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Every tensor with `source` in its name, and the one it is copied to. Raises ConfigError."""
    weights, found = model.state_dict(), []
    for name, tensor in weights.items():
        if source in name:
            twin = weights.get(name.replace(source, target))
            if twin is None or twin.shape != tensor.shape:
                raise ConfigError("stage.copy", f"{name} has no twin of its shape under {target!r}")
            found.append((tensor, twin))
    if not found:
        raise ConfigError("stage.copy", f"no parameter has {source!r} in its name")
    return found
