"""Losses on the gates of hybrid compressors: how evenly and how decidedly experts are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from affect_mllm.models.hidden import Hidden
from affect_mllm.train.loss.objective import Loss
from affect_mllm.train.loss.ranks import sum_over_ranks
from affect_mllm.types import Batch


class GateEntropy(Loss):
    """Mean entropy of the gates, in nats: a positive weight makes them choose, a negative spread.

    Summed over media items, the fused one of an example included.
    """

    def count(self, batch: Batch) -> int:
        """Items with a gate, whether their compressor has one or not."""
        return gated_items(batch)

    def __call__(
        self, model: Any, batch: Batch, hidden: Hidden, head: nn.Module | None
    ) -> torch.Tensor:
        """The sum of −Σ g·ln g."""
        parts = [torch.special.entr(gate.float()).sum() for gate in hidden.gates.values()]
        return _total(parts, hidden)


class LoadBalance(Loss):
    """How unevenly a micro-batch of all ranks uses the experts: 1 is even, their number is worst.

    E·Σ p², where p is an expert's mean gate weight and E the number of experts in use: the
    auxiliary loss of Switch Transformers (arXiv 2101.03961, equation 4) with the gates themselves
    in place of hard assignments, since here every expert runs.
    """

    coupled = True

    def count(self, batch: Batch) -> int:
        """Items with a gate: each modality's value is weighted by its items."""
        return gated_items(batch)

    def __call__(
        self, model: Any, batch: Batch, hidden: Hidden, head: nn.Module | None
    ) -> torch.Tensor:
        """The sum of each modality's unevenness times its items over all ranks."""
        sizes = {name: len(model.gate_names(name)) for name in model.modalities}
        gates = {name: gate.float().sum(0) for name, gate in hidden.gates.items()}
        absent = hidden.states.new_zeros((), dtype=torch.float32)
        parts = [gates.get(name, absent.expand(size)) for name, size in sizes.items()]
        summed = sum_over_ranks(torch.cat(parts)).split([*sizes.values()])
        return _total([_uneven(part) for part in summed if len(part)], hidden)


def _uneven(mass: torch.Tensor) -> torch.Tensor:
    """Items × E·Σ p² from the gate weights `[E]` summed over items; 0 where there are none."""
    items = mass.detach().sum()
    in_use = (mass > 0).sum()
    return items * in_use * (mass / items.clamp_min(1e-12)).square().sum()


def gated_items(batch: Batch) -> int:
    """Media items of a batch, and one fused item for each example with any medium."""
    owners: Mapping[str, Any] = {name: set(m.examples) for name, m in batch.media.items()}
    return sum(len(m.examples) for m in batch.media.values()) + len(set().union(*owners.values()))


def _total(parts: list[torch.Tensor], hidden: Hidden) -> torch.Tensor:
    """Their sum, connected to the model where this rank has no gate."""
    return sum(parts, start=0 * hidden.states.float().sum())
