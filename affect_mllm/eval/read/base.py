"""What an extraction policy is given, and what it gives back. It never sees the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["ok", "ambiguous", "refused", "empty", "out_of_vocabulary"]
STATUSES: tuple[Status, ...] = ("ok", "ambiguous", "refused", "empty", "out_of_vocabulary")
Answer = str | float | tuple[str, ...] | dict[str, float] | None


@dataclass(frozen=True)
class Extraction:
    """What a policy read: a label, labels, a number or shares; None unless `status` is ok."""

    value: Answer
    status: Status

    @property
    def label(self) -> str | None:
        """The value where it is one label."""
        return self.value if isinstance(self.value, str) else None


@dataclass(frozen=True)
class Space:
    """What an answer may be: the task's labels, its scale's ends, a row's options by letter."""

    labels: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    options: Mapping[str, str] = field(default_factory=dict)
