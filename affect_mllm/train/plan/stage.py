"""A stage of training, as data: what trains, on what, for how long, and what it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from textwrap import indent
from typing import Annotated, Any, Literal

import torch
import yaml
from pydantic import PositiveFloat, PositiveInt
from torch import nn

from affect_mllm.data.mixture import Mixing, Mixture, Source, in_order
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.train.loss.objective import Loss
from affect_mllm.train.loss.policy import GroupPolicy
from affect_mllm.train.loss.token import TokenLoss
from affect_mllm.train.plan import optim
from affect_mllm.train.plan.names import check_names, refusing
from affect_mllm.train.plan.optim import AdamW, Schedule
from affect_mllm.train.plan.trainable import Trainable, named, select
from affect_mllm.train.rollout.settings import Rollout
from affect_mllm.types import ConfigError

_NAMES = "see the modules' names: `affect-mllm describe experiment=NAME`"


@dataclass(frozen=True)
class Best:
    """Keep the checkpoint with the best value of `metric`, such as `val/loss`, as `best`.

    After `patience` steps without a better one the stage ends; with `is_final` these weights, not
    the last ones, are its result.
    `mode` says which values are better.
    """

    metric: str
    mode: Literal["min", "max"] = "min"
    patience: PositiveInt | None = None
    is_final: bool = False

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
class Copy:
    """Weights to copy: from parameters with `source` in their name to those with `target` there."""

    source: str
    target: str


def copies(given: Mapping[str, Any]) -> dict[str, Copy]:
    """A stage's copies, from mappings as a YAML has them. Raises ValueError for what is none."""
    old = {key: value for key, value in given.items() if isinstance(value, str)}
    if old:
        parts = (f"{{source: '{key}', target: '{value}'}}" for key, value in old.items())
        new = ", ".join(f"copy_{n}: {part}" for n, part in enumerate(parts, 1))
        raise ValueError(
            f"copies have names, by which a command line reaches them; write\n    copy: {{{new}}}"
        )
    check_names(given)
    try:
        return {n: v if isinstance(v, Copy) else Copy(**v) for n, v in given.items()}
    except TypeError as error:
        raise ValueError(f"{error}; a copy looks like NAME: {{source: a., target: b.}}") from error


def check_sources(where: str, given: Any) -> None:
    """ConfigError for a list, with the names to write instead."""
    if isinstance(given, list):
        target = f"{Source.__module__}.{Source.__qualname__}"
        rows = [{"_target_": target, **asdict(source)} for source in given]
        kept = [{k: v for k, v in row.items() if v is not None} for row in rows]
        named = {"data" if n == 1 else f"data_{n}": row for n, row in enumerate(kept, 1)}
        shown = yaml.safe_dump({"sources": named}, sort_keys=False, default_flow_style=None)
        raise ConfigError(
            where,
            "a list",
            expected="sources with names, by which a command line reaches them",
            fix=f"write\n{indent(shown, '    ')}",
        )
    try:
        check_names(given)
    except ValueError as error:
        raise ConfigError(where, str(error)) from error


def _refuse_test(where: str, split: str) -> None:
    if split.startswith("test"):
        raise ConfigError(
            where,
            f"split {split} is a test set",
            expected="a validation split",
            fix="set one aside: nothing is watched or chosen on a test set",
        )


@dataclass(frozen=True)
class Validation:
    """The stage's own loss on rows that are not trained on: `val/loss` every so many steps.

    With `if_any` a manifest without such rows is trained on without (plan/of_manifest.py).
    `sources` are those rows, of which `batches` are looked at `every` so many steps.
    """

    sources: dict[str, Source]
    every: PositiveInt = 100
    batches: PositiveInt = 8
    if_any: bool = False

    def __post_init__(self) -> None:
        check_sources("stage.validation.sources", self.sources)
        for source in self.sources.values():
            _refuse_test("stage.validation.sources", source.split)


@dataclass(frozen=True)
class Asked:
    """A stage's `benchmarks`: which, how often, on which rows of the training manifest.

    `max_rows` of the split are asked, evenly spread over it; None asks all.
    `names` are benchmarks, asked `every` so many steps about rows of `split`, `batch_size` at a
    time.
    """

    names: list[str]
    every: PositiveInt = 500
    max_rows: PositiveInt | None = 200
    split: str = "val"
    batch_size: PositiveInt = 32

    def __post_init__(self) -> None:
        _refuse_test("stage.benchmarks.split", self.split)


@dataclass(frozen=True)
class Stage:
    """One entry of an experiment's `stages`.

    `trainable`: groups of parameters by name, each with its rate; what is in none is frozen.
    `ema` averages the trained weights with that decay.
    `sources`, `losses`: by name. `rollout`: the model answers itself, for losses on such answers.
    `experts`: the experts that the hybrid compressors' gates may use.
    `epochs`: so many passes over the sources' rows with each of their questions; `steps` is then
    the most (plan/of_manifest.py).
    `copy`: what is copied once, when the stage begins.
    `init_from`: `previous` (the stage before, nothing for the first), or a checkpoint folder.
    `speed`: what is otherwise in this stage than in the run's `speed`.
    `keep_last` resumable checkpoints stay until the stage is finished.
    `name` is its folder's in the run. `batch_size` examples, over all processes, make one update of
    `optimizer`, whose rates follow `schedule`; `weight_decay` is that of matrices, `max_grad_norm`
    what the norm of all gradients is clipped to. `mixing` turns the sources' weights into shares.
    With probability `modality_dropout` an example hides some of its modalities. Every `save_every`
    steps a checkpoint to resume from is written. `validation` is the loss on held-out rows,
    `benchmarks` what is asked while training, `best` the metric of either by which weights are
    kept.
    """

    name: str
    trainable: Trainable
    sources: dict[str, Source]
    steps: PositiveInt
    epochs: PositiveFloat | None = None
    batch_size: PositiveInt = 16
    losses: dict[str, Loss] = field(default_factory=lambda: {"lm": TokenLoss()})
    rollout: Rollout | None = None
    experts: tuple[str, ...] = ("general", "emotion")
    copy: Annotated[dict[str, Copy], refusing(copies)] = field(default_factory=dict)
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
    speed: dict[str, Any] = field(default_factory=dict)
    init_from: str = "previous"
    mixing: Mixing = field(default_factory=Mixing)

    def __post_init__(self) -> None:
        check_sources("stage.sources", self.sources)
        object.__setattr__(self, "trainable", named(self.trainable))
        self._check_rollout()
        try:
            object.__setattr__(self, "copy", copies(self.copy))
        except ValueError as error:
            raise ConfigError("stage.copy", str(error)) from error

    def _check_rollout(self) -> None:
        """ConfigError unless answers are made where losses are about them, and only there."""
        wanting = [name for name, loss in self.losses.items() if loss.drawn]
        if wanting and self.rollout is None:
            raise ConfigError(
                "stage.rollout",
                f"none, but losses.{wanting[0]} is about answers that the model gives",
                expected="how they are drawn and what they are worth",
                fix="take conf/stage/reinforce.yaml as a pattern",
            )
        policies = [each for each in self.losses.values() if isinstance(each, GroupPolicy)]
        if self.rollout is not None and not policies:
            raise ConfigError(
                "stage.losses",
                f"{sorted(self.losses)}, with a rollout",
                expected="a GroupPolicy that learns from it",
                fix="add `policy: {_target_: affect_mllm.train.loss.policy.GroupPolicy}`",
            )
        if self.rollout is not None and self.rollout.passes > 1:
            for each in policies:
                if each.old == "own":
                    raise ConfigError(
                        "stage.rollout.passes",
                        f"{self.rollout.passes}, with a GroupPolicy whose ratios are always 1",
                        expected="1, or ratios to the probabilities at sampling",
                        fix="give the policy `old: sampled`",
                    )

    @property
    def compares(self) -> bool:
        """Whether a loss compares with what the stage began with."""
        return any(loss.reference for loss in self.losses.values())

    def mixture(self, seed: int) -> Mixture:
        """The draws of all its steps."""
        return Mixture(
            in_order(self.sources),
            seed=seed,
            places=self.steps * self.batch_size,
            step_places=self.batch_size,
            mixing=self.mixing,
        )

    def validation_mixture(self, seed: int) -> Mixture:
        """The held-out draws; only of a stage that has a `validation`."""
        assert self.validation is not None
        return Mixture(
            in_order(self.validation.sources),
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
        for each in self.copy.values():
            _twins(model, each.source, each.target)

    def prepare(self, model: AffectMLLM, *, fresh: bool) -> None:
        """Set the experts in use and, if the stage only begins (`fresh`), copy weights."""
        model.use_experts(self.experts)
        if fresh:
            for each in self.copy.values():
                copy_weights(model, each.source, each.target)

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
                raise ConfigError(
                    "stage.copy", f"{name} has no twin of its shape under {target!r}", fix=_NAMES
                )
            found.append((tensor, twin))
    if not found:
        raise ConfigError("stage.copy", f"no parameter has {source!r} in its name", fix=_NAMES)
    return found
