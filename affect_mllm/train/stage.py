"""A stage of training, as data: what trains, on what, for how long, and what it starts from."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import PositiveInt

from affect_mllm.data.mixture import Mixing, Mixture, Source
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.train.optim import Schedule
from affect_mllm.types import ConfigError


@dataclass(frozen=True)
class Stage:
    """One entry of an experiment's `stages`.

    `trainable`: regex over parameter names → peak learning rate; what no regex names is frozen.
    `experts`: the experts that the hybrid compressors' gates may use. `copy`: part of a
    parameter's name → part of the name it is copied to, done once when the stage begins.
    `init_from`: `previous` (the stage before, nothing for the first), or a checkpoint folder.
    """

    name: str
    trainable: dict[str, float]
    sources: list[Source]
    steps: PositiveInt
    batch_size: PositiveInt = 16
    experts: tuple[str, ...] = ("general", "emotion")
    copy: dict[str, str] = field(default_factory=dict)
    modality_dropout: float = 0.0
    schedule: Schedule = field(default_factory=Schedule)
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    save_every: PositiveInt = 100
    init_from: str = "previous"
    mixing: Mixing = field(default_factory=Mixing)

    def mixture(self, seed: int) -> Mixture:
        """The draws of all its steps."""
        return Mixture(
            self.sources,
            seed=seed,
            places=self.steps * self.batch_size,
            step_places=self.batch_size,
            mixing=self.mixing,
        )

    def prepare(self, model: AffectMLLM, *, fresh: bool) -> None:
        """Set the experts in use and, if the stage only begins (`fresh`), copy weights."""
        model.use_experts(self.experts)
        if fresh:
            for source, target in self.copy.items():
                copy_weights(model, source, target)


def copy_weights(model: AffectMLLM, source: str, target: str) -> None:
    """Copy every parameter with `source` in its name to the one with `target` instead."""
    weights = model.state_dict()
    copied = 0
    for name, tensor in weights.items():
        if source in name:
            twin = weights.get(name.replace(source, target))
            if twin is None or twin.shape != tensor.shape:
                raise ConfigError("stage.copy", f"{name} has no twin of its shape under {target!r}")
            twin.copy_(tensor)
            copied += 1
    if not copied:
        raise ConfigError("stage.copy", f"no parameter has {source!r} in its name")
