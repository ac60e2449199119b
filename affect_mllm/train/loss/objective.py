"""The objective of a stage: its named losses, run inside the model's forward pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from affect_mllm.data.senses import Sense
from affect_mllm.models.hidden import Hidden
from affect_mllm.types import Batch


class Terms(NamedTuple):
    """What one micro-batch gives: each loss as a sum, and gate weights summed by modality `[E]`.

    `values` holds the same sums for the log, where a loss that is coupled over ranks counts only
    this rank's share. `experts` names the columns of `gates`. `notes` are what losses say beside
    their values, by `LOSS/NOTE`: a sum and the number of what was added up, `[2]`.
    """

    losses: dict[str, torch.Tensor]
    values: dict[str, torch.Tensor]
    gates: dict[str, torch.Tensor]
    experts: dict[str, tuple[str, ...]]
    notes: dict[str, torch.Tensor]


class Loss(ABC):
    """One named loss of a stage. `weight` is its factor in the step's total.

    It is a sum over items (tokens, examples, pairs), and the trainer divides it by `count` added
    up over all ranks and micro-batches of the step: so its gradient does not depend on how the
    step is split. A `coupled` loss compares items of one micro-batch with each other, gathered
    over ranks; it does depend on the layout. One with a `reference` reads `Batch.reference`, a
    `drawn` one `Batch.drawn`, and one that `hides` a sense what these answers are without it.
    `notes` names the numbers that it leaves for the log by `note`, in every call.
    """

    coupled = False
    reads_router = False  # of the LLM's own experts
    reference = False
    drawn = False
    hides: Sense | None = None
    notes: tuple[str, ...] = ()

    def __init__(self, *, weight: float = 1.0) -> None:
        self.weight = weight

    def head(self, hidden_size: int) -> nn.Module | None:
        """A new trainable module of this loss, or None; it becomes `model.heads[name]`."""
        return None

    def check(self, model: Any) -> None:
        """ConfigError for a model that this loss cannot be about, before any step."""
        del model

    def active(self, batch: Batch, count: int) -> int:
        """Items of `batch` that can have a gradient; it has `count` of them."""
        del batch
        return count

    def note(self, hidden: Hidden, count: torch.Tensor | float, **sums: torch.Tensor) -> None:
        """Leave sums over `count` things for the log, where their means stand."""
        kept = hidden.shared.setdefault("notes", {}).setdefault(self, {})
        for name, value in sums.items():
            number = torch.as_tensor(count, dtype=torch.float64, device=value.device)
            kept[name] = torch.stack([value.detach().double(), number])

    @abstractmethod
    def count(self, batch: Batch) -> int:
        """Items of `batch` that this loss is about."""

    @abstractmethod
    def __call__(
        self, model: Any, batch: Batch, hidden: Hidden, head: nn.Module | None
    ) -> torch.Tensor:
        """The sum over the items: a scalar that is connected to the model even without items."""


class Objective:
    """The losses of a stage as one function of a forward pass."""

    def __init__(self, losses: Mapping[str, Loss], *, world: int = 1) -> None:
        self.losses, self.world = dict(losses), world
        self.reads_router = any(loss.reads_router for loss in losses.values())

    def __call__(self, model: Any, batch: Batch, hidden: Hidden) -> Terms:
        """Every loss's sum for one micro-batch."""
        heads = dict(model.heads)
        found = {
            name: loss(model, batch, hidden, heads.get(name)) for name, loss in self.losses.items()
        }
        values = {
            name: value.detach() / (self.world if self.losses[name].coupled else 1)
            for name, value in found.items()
        }
        gates = {name: gate.detach().float().sum(0) for name, gate in hidden.gates.items()}
        left = hidden.shared.get("notes", {})
        notes = {f"{n}/{e}": left[loss][e] for n, loss in self.losses.items() for e in loss.notes}
        return Terms(found, values, gates, {n: model.gate_names(n) for n in gates}, notes)

    @property
    def notes(self) -> list[str]:
        """The names of `Terms.notes`."""
        return [f"{name}/{each}" for name, loss in self.losses.items() for each in loss.notes]

    def experts(self, model: Any) -> list[tuple[str, str]]:
        """Every modality and expert that `Terms.gates` can have a weight of."""
        return [(name, expert) for name in model.modalities for expert in model.gate_names(name)]

    def counts(self, batch: Batch) -> dict[str, int]:
        """Each loss's items in one micro-batch of this rank."""
        return {name: loss.count(batch) for name, loss in self.losses.items()}

    def active(self, batch: Batch, counts: Mapping[str, int]) -> int:
        """Of all losses' items in one micro-batch, `counts`, those that can have a gradient."""
        return sum(loss.active(batch, counts[name]) for name, loss in self.losses.items())

    def total(self, sums: Mapping[str, Any], counts: Mapping[str, int]) -> Any:
        """The weighted sum of the losses, each over its items in the whole step."""
        parts = [
            sums[name] * (loss.weight / max(1, counts[name])) for name, loss in self.losses.items()
        ]
        return sum(parts[1:], parts[0])
