"""What an extraction policy is given, and what it gives back. It never sees the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["ok", "ambiguous", "refused", "empty", "out_of_vocabulary", "truncated"]
STATUSES: tuple[Status, ...] = (
    "ok",
    "ambiguous",
    "refused",
    "empty",
    "out_of_vocabulary",
    "truncated",
)
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
    """What an answer may be: the task's labels, its scale's ends, a row's options by letter.

    `aliases` are pairs of another name and the label that it stands for. `question` is what was
    asked: an answer that begins by repeating it is read without it. `language` is what the row is
    asked in, where that is another one than the task's.
    """

    labels: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[tuple[str, str], ...] = ()
    question: str = ""
    language: str = ""


def one_of(found: set[str]) -> Extraction:
    """The only label of `found`, which is not empty; several are ambiguous, none is chosen."""
    return Extraction(next(iter(found)), "ok") if len(found) == 1 else Extraction(None, "ambiguous")
