"""Heads on the LLM's state where an answer begins: dimensions of affect, and classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy, smooth_l1_loss

from affect_mllm.models.hidden import Hidden
from affect_mllm.models.indices import on_device
from affect_mllm.train.loss.objective import Loss
from affect_mllm.train.loss.token import supervised
from affect_mllm.types import Batch, ConfigError, DataError

VAD = ("valence", "arousal", "dominance")


class HeadLoss(Loss):
    """A normalised linear head of `size` outputs on the state that predicts the first answer token.

    That state has seen the media and the question, and nothing of the answer. A subclass says
    `size`, which examples `count`, and the sum over what `outputs` gives of them.
    """

    size: int

    def head(self, hidden_size: int) -> nn.Module:
        """Its layers, in float32."""
        return nn.Sequential(nn.LayerNorm(hidden_size), nn.Linear(hidden_size, self.size))

    def outputs(
        self, batch: Batch, hidden: Hidden, head: nn.Module, which: list[int]
    ) -> torch.Tensor:
        """The head's outputs `[N, size]` for these examples."""
        states = hidden.states[answer_starts(batch, which)]
        with torch.autocast(states.device.type, enabled=False):
            return head(states.float())


class VADRegression(HeadLoss):
    """Smooth L1 on valence, arousal and dominance (−1 to 1), those that a row has."""

    size = len(VAD)

    def count(self, batch: Batch) -> int:
        """Labelled values."""
        return sum(value is not None for row in _values(batch).values() for value in row)

    def __call__(
        self, model: Any, batch: Batch, hidden: Hidden, head: nn.Module | None
    ) -> torch.Tensor:
        """The sum over labelled values."""
        assert head is not None
        rows = _values(batch)
        found = self.outputs(batch, hidden, head, list(rows))
        known = torch.tensor(
            [[value is not None for value in row] for row in rows.values()], dtype=torch.bool
        ).view(-1, self.size)
        truth = torch.tensor([[value or 0.0 for value in row] for row in rows.values()])
        truth = on_device(truth.view(-1, self.size), found.device, found.dtype)
        each = smooth_l1_loss(found, truth, reduction="none")
        return (each * on_device(known, each.device, each.dtype)).sum()


class Classification(HeadLoss):
    """Cross-entropy of the row's label `truth` among `classes`; rows without it do not count.

    A loss of another form on the same head is a subclass with a `cost` of its own.
    """

    def __init__(
        self, classes: Sequence[str], *, truth: str = "emotion", weight: float = 1.0
    ) -> None:
        super().__init__(weight=weight)
        if len(set(classes)) < 2 or len(set(classes)) < len(classes):
            raise ConfigError(
                "losses", f"classes {list(classes)}", expected="two or more, each once"
            )
        self.classes, self.truth, self.size = tuple(classes), truth, len(classes)

    def cost(self, outputs: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """What each example costs, `[N]`, from its outputs `[N, C]` and the number of its class."""
        return cross_entropy(outputs, truth, reduction="none")

    def count(self, batch: Batch) -> int:
        """Labelled examples."""
        return len(self._targets(batch))

    def __call__(
        self, model: Any, batch: Batch, hidden: Hidden, head: nn.Module | None
    ) -> torch.Tensor:
        """The sum over labelled examples."""
        assert head is not None
        targets = self._targets(batch)
        found = self.outputs(batch, hidden, head, list(targets))
        truth = on_device(list(targets.values()), found.device, torch.long)
        return self.cost(found, truth).sum()

    def _targets(self, batch: Batch) -> dict[int, int]:
        """Example → number of its class. Raises DataError on a label that is no class."""
        found: dict[int, int] = {}
        for example, truth in enumerate(batch.truths):
            label = truth.get(self.truth)
            if label is None:
                continue
            if label not in self.classes:
                raise DataError(
                    f"row {batch.sample_ids[example]}",
                    f"{self.truth} {label!r}",
                    expected=f"one of {list(self.classes)}",
                    fix="add it to the loss's classes, or leave such rows out",
                )
            found[example] = self.classes.index(label)
        return found


def answer_starts(batch: Batch, which: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and column of the position that predicts each example's first supervised token.

    DataError for an example without any.
    """
    host = batch.on_host
    positions, _ = supervised(host.labels)
    places: dict[int, list[int]] = {}
    owners = host.segments[positions].tolist()
    for owner, place in zip(owners, positions.nonzero().tolist(), strict=True):
        places.setdefault(owner, place)
    lost = [batch.sample_ids[i] for i in which if i not in places]
    if lost:
        raise DataError(f"rows {lost}", "have no answer", expected="one, for the heads of losses")
    chosen = torch.tensor([places[i] for i in which], dtype=torch.long).view(-1, 2)
    rows, columns = on_device(chosen, batch.labels.device).unbind(1)
    return rows, columns


def _values(batch: Batch) -> dict[int, list[float | None]]:
    """Example → its values in the order of `VAD`, of examples with at least one."""
    rows = {i: [truth.get(name) for name in VAD] for i, truth in enumerate(batch.truths)}
    return {i: row for i, row in rows.items() if any(value is not None for value in row)}
