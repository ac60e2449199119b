"""The loss of a head on media tokens, for every label of a row at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy, smooth_l1_loss

from affect_mllm.models.hidden import Hidden
from affect_mllm.models.indices import on_device
from affect_mllm.models.label_head import LabelHead, seen
from affect_mllm.train.loss.objective import Loss
from affect_mllm.types import Batch, ConfigError, DataError


class MediaLabels(Loss):
    """Every label of a row, by a linear head on the mean of its media tokens.

    `classes` (label → its classes) by cross-entropy, `scales` (label → low, high) by smooth L1 on
    the number as a share of its scale; a row counts once for each of these labels that it has.
    Where both are empty a run takes those of its manifest (`train/plan/of_manifest.py`).
    `smoothing` is the share of the truth that all classes divide; `dropout` of the mean token.
    A stage with this loss alone never runs the LLM.
    """

    def __init__(
        self,
        *,
        classes: Mapping[str, Sequence[str]] | None = None,
        scales: Mapping[str, Sequence[float]] | None = None,
        weight: float = 1.0,
        smoothing: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(weight=weight)
        self.classes = {name: tuple(each) for name, each in (classes or {}).items()}
        self.scales = {name: (low, high) for name, (low, high) in (scales or {}).items()}
        if not 0 <= smoothing < 1 or not 0 <= dropout < 1:
            raise ConfigError(
                "losses", f"smoothing {smoothing}, dropout {dropout}", expected="shares below 1"
            )
        self.smoothing, self.dropout = smoothing, dropout

    @property
    def sizes(self) -> dict[str, int]:
        """Outputs of the head by label."""
        of_classes = {name: len(classes) for name, classes in self.classes.items()}
        return {**of_classes, **dict.fromkeys(self.scales, 1)}

    def head(self, hidden_size: int) -> nn.Module:
        """`LabelHead`."""
        return LabelHead(hidden_size, self.sizes, dropout=self.dropout)

    def count(self, batch: Batch) -> int:
        """Labels of the examples, with media or without: the latter cost nothing."""
        return sum(truth.get(name) is not None for truth in batch.truths for name in self.sizes)

    def __call__(
        self, model: Any, batch: Batch, hidden: Hidden, head: nn.Module | None
    ) -> torch.Tensor:
        """The sum over labels. Raises DataError for a label that is none of the classes."""
        assert head is not None
        which = seen(hidden.tokens)
        rows = [(batch.sample_ids[i], batch.truths[i]) for i in which]
        found = head(hidden.tokens, which)  # of none, too: all ranks run it
        return hidden.idle + sum(self._cost(name, outputs, rows) for name, outputs in found.items())

    def _cost(
        self, name: str, outputs: torch.Tensor, rows: Sequence[tuple[str, Mapping[str, Any]]]
    ) -> torch.Tensor:
        """What one label costs, summed over the rows `[N, C]` that have it."""
        having = [place for place, (_, truth) in enumerate(rows) if truth.get(name) is not None]
        chosen = outputs[on_device(having, outputs.device, torch.long)]
        values = [rows[place][1][name] for place in having]
        if name in self.scales:
            low, high = self.scales[name]
            shares = [(float(value) - low) / (high - low) for value in values]
            truth = on_device(shares, outputs.device, torch.float32)
            return smooth_l1_loss(chosen.squeeze(-1), truth, reduction="sum")
        known = self.classes[name]
        for place, value in zip(having, values, strict=True):
            if value not in known:
                raise DataError(
                    f"row {rows[place][0]}", f"{name} {value!r}", expected=f"one of {list(known)}"
                )
        numbers = on_device([known.index(value) for value in values], outputs.device, torch.long)
        return cross_entropy(chosen, numbers, reduction="sum", label_smoothing=self.smoothing)
