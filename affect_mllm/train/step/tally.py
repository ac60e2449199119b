"""What a step's micro-batches gave: kept on the device, read once, added up over ranks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from affect_mllm.train.layout.engine import Engine
from affect_mllm.train.loss.objective import Objective, Terms

Gates = dict[str, dict[str, float]]  # modality → expert → weight


@dataclass
class Sums:
    """Losses and gate weights, added up over micro-batches: this rank's, or all ranks'.

    `broken` are the samples of the micro-batches whose loss is not finite.
    """

    losses: dict[str, float] = field(default_factory=dict)
    gates: Gates = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    notes: dict[str, tuple[float, float]] = field(default_factory=dict)

    def noted(self) -> dict[str, float]:
        """The mean of every note of which there was anything."""
        return {name: total / count for name, (total, count) in self.notes.items() if count}

    def over_ranks(self, engine: Engine, objective: Objective) -> Sums:
        """Those of all ranks together, told as numbers; samples by name where a loss is broken."""
        experts = objective.experts(engine.module)
        weights = [self.gates.get(name, {}).get(expert, 0.0) for name, expert in experts]
        losses = [self.losses.get(name, 0.0) for name in objective.losses]
        notes = [number for name in objective.notes for number in self.notes.get(name, (0.0, 0.0))]
        ranks = engine.told([len(self.broken), *notes, *losses, *weights])
        broken, *totals = (sum(column) for column in zip(*ranks, strict=True))
        noted, totals = iter(totals[: len(notes)]), totals[len(notes) :]
        found = Sums(dict(zip(objective.losses, totals[: len(losses)], strict=True)))
        found.notes = {name: (next(noted), next(noted)) for name in objective.notes}
        if broken:
            found.broken = [name for rank in engine.gather(self.broken) for name in rank]
        for (name, expert), weight in zip(experts, totals[len(losses) :], strict=True):
            found.gates.setdefault(name, {})[expert] = weight
        found.gates = {name: row for name, row in found.gates.items() if any(row.values())}
        return found


class Tally:
    """Collects each micro-batch's numbers without waiting for the device."""

    def __init__(self) -> None:
        self._names: list[tuple[str, ...]] = []  # samples of each micro-batch
        self._terms: list[Terms] = []
        self._numbers: list[torch.Tensor] = []

    def add(self, samples: tuple[str, ...], terms: Terms, loss: torch.Tensor) -> None:
        """Keep the values and gates of one micro-batch, and whether its total `loss` is finite."""
        self._names.append(samples)
        self._terms.append(terms)
        parts = [torch.isfinite(loss.detach()), *terms.values.values(), *terms.notes.values()]
        parts += terms.gates.values()
        self._numbers.append(torch.cat([part.reshape(-1).double() for part in parts]))

    def read(self) -> Sums:
        """All of it in one copy from the device."""
        found = Sums()
        rows = torch.cat(self._numbers).tolist() if self._numbers else []
        for names, terms in zip(self._names, self._terms, strict=True):
            finite, *rows = rows
            if not finite:
                found.broken += names or ("(none: an idle item)",)
            values, rows = rows[: len(terms.values)], rows[len(terms.values) :]
            add(found.losses, dict(zip(terms.values, values, strict=True)))
            for name in terms.notes:
                (total, count), (more, of, *rows) = found.notes.get(name, (0.0, 0.0)), rows
                found.notes[name] = (total + more, count + of)
            for modality, experts in terms.experts.items():
                weights, rows = rows[: len(experts)], rows[len(experts) :]
                row = dict(zip(experts, weights, strict=True))
                add(found.gates.setdefault(modality, {}), row)
        return found


def add(sums: dict[str, float], more: dict[str, Any]) -> None:
    """Add `more` to `sums`, name by name."""
    for name, value in more.items():
        sums[name] = sums.get(name, 0.0) + float(value)
