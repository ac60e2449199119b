"""What labels a manifest has: classes with their counts, numbers with their range, texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from affect_mllm.data.row_checks import LABEL_RANGES
from affect_mllm.types import DataError, finite

Kind = Literal["classes", "list", "number", "text"]
KINDS: tuple[Kind, ...] = ("classes", "list", "number", "text")
# What a label of this name always is; a sentiment is what its values are.
KNOWN: dict[str, Kind | None] = {
    "emotion": "classes",
    "emotions": "list",
    "sentiment": None,
    **dict.fromkeys(LABEL_RANGES, "number"),
    "description": "text",
    "intent": "text",
}
ENDING = ".labels.json"  # of the file beside a manifest (label_file)
LONGEST_CLASS = 40  # characters: what is longer, or of more words than these, is a text
MOST_CLASSES = 100


@dataclass(frozen=True)
class Label:
    """One label of a manifest: `rows` counts those that have it, by split ("": none is named).

    `counts` (of classes and lists) is class → split → rows, by the classes' names. `low` and
    `high` are the ends of a number's scale, `decimals` how many it is written with, and `rule`
    how it was made of what the table had, if that was mapped.
    """

    kind: Kind
    rows: dict[str, int]
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    low: float | None = None
    high: float | None = None
    decimals: int = 2
    rule: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """The words that it has anywhere, sorted."""
        return tuple(self.counts)

    @property
    def scale(self) -> tuple[float, float]:
        """The ends of a number's scale. Raises ValueError for what is no number."""
        if self.low is None or self.high is None:
            raise ValueError(f"no scale: {self.kind}")
        return self.low, self.high


LabelSpace = dict[str, Label]


def kind_of(values: Sequence[Any]) -> Kind | None:
    """What values as a manifest has them are; None where they are of several kinds."""
    if all(isinstance(value, list | tuple) for value in values):
        return "list"
    if all(map(finite, values)):
        return "number"
    if not all(isinstance(value, str) for value in values):
        return None
    few = len(set(values)) <= MOST_CLASSES and max(map(len, values)) <= LONGEST_CLASS
    return "classes" if few else "text"


def described(
    kind: Kind, values: Sequence[tuple[str, Any]], *, scale: tuple[float, float] | None = None
) -> Label:
    """The label that has these values, each with its split. A number's scale is theirs if not said.

    Raises DataError for a number that has one value only and no scale.
    """
    rows: dict[str, int] = {}
    counts: dict[str, dict[str, int]] = {}
    for split, value in values:
        rows[split] = rows.get(split, 0) + 1
        if kind in ("classes", "list"):
            for each in dict.fromkeys([value] if isinstance(value, str) else value):
                of_class = counts.setdefault(str(each), {})
                of_class[split] = of_class.get(split, 0) + 1
    ordered = {name: counts[name] for name in sorted(counts)}
    if kind != "number":
        return Label(kind, rows, ordered)
    numbers = [float(value) for _, value in values]
    low, high = scale or (min(numbers), max(numbers))
    if not low < high:
        raise DataError("labels", f"a number that is {low:g} in all rows", expected="low < high")
    return Label(kind, rows, low=low, high=high, decimals=max(map(_decimals, numbers)))


def sidecar(manifest: Path) -> Path:
    """The file that says a manifest's labels."""
    return manifest.with_name(manifest.name + ENDING)


def _decimals(number: float) -> int:
    """How many decimals, up to two, a number is written with."""
    return next(n for n in (0, 1, 2) if n == 2 or abs(round(number, n) - number) < 1e-9)


def splits_of(labels: Iterable[Label]) -> list[str]:
    """The splits that the labels' rows are in: train, val and test first."""
    found = dict.fromkeys(split for label in labels for split in label.rows)
    first = [split for split in ("train", "val", "test") if split in found]
    return first + sorted(set(found) - set(first))
