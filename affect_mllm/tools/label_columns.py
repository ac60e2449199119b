"""Which columns of a CSV are labels, what each of them is, and its cells as a manifest has them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from affect_mllm.data.label_space import KINDS, KNOWN, Kind, Label, described, kind_of
from affect_mllm.data.row_checks import LABEL_RANGES
from affect_mllm.types import ConfigError

Say = Callable[[str], None]
Scale = tuple[float, float]
SEPARATORS = re.compile(r"[;|,]")


@dataclass(frozen=True)
class Column:
    """A column (its name in lower case) that becomes the label `key`; kind None: as its cells are.

    `scale` are the ends of the scale that its numbers are on, if that was said.
    """

    name: str
    key: str
    kind: Kind | None = None
    scale: Scale | None = None

    @property
    def mapped(self) -> Scale | None:
        """The manifest's range that its numbers are brought to; None: they stay as they are."""
        return LABEL_RANGES.get(self.key) if self.scale is not None else None

    @property
    def rule(self) -> str:
        """How its numbers become the manifest's, as a formula; empty where they stay."""
        if self.scale is None or self.mapped is None or self.mapped == self.scale:
            return ""
        (low, high), (start, end) = self.scale, self.mapped
        return f"{start:g} + (x - {low:g}) / {high - low:g} * {end - start:g}"

    def value(self, cell: str, say: Say) -> Any:
        """A cell as the manifest has it; None, and `say` tells why, where it does not fit."""
        if self.key == "sentiment" and self.kind is None:
            number = number_of(cell)
            return cell.lower() if number is None else number
        if self.kind == "list":
            return [each.strip().lower() for each in SEPARATORS.split(cell)]
        if self.kind == "number":
            return self._number(cell, say)
        return cell if self.kind == "text" else cell.lower()

    def _number(self, cell: str, say: Say) -> float | None:
        number = number_of(cell)
        if number is None:
            say(f"{self.name} must be a number, got {cell!r}")
            return None
        if self.scale is None:
            return number
        low, high = self.scale
        if not low <= number <= high:
            say(f"{self.name} must be on its scale from {low:g} to {high:g}, got {cell}")
            return None
        if self.mapped is None:
            return number
        start, end = self.mapped
        return round(start + (number - low) / (high - low) * (end - start), 6)

    def label(self, values: Sequence[tuple[str, Any]]) -> Label | None:
        """What the manifest's labels are; None for words and numbers in one column."""
        kind = self.kind or kind_of([value for _, value in values])
        if kind is None:
            return None
        ends = LABEL_RANGES.get(self.key, self.scale)
        return replace(described(kind, values, scale=ends), rule=self.rule)


def columns(given: Sequence[str], scales: Sequence[str], *, emotion: str) -> list[Column]:
    """The label columns that options name: `COLUMN`, `COLUMN=KEY`, with `:KIND` if need be.

    `emotion` is the column of the emotion; none given: it, and all that have a label's own name.
    `scales` are `KEY=LOW:HIGH`. Raises ConfigError for what cannot be understood.
    """
    named = [_column(each) for each in given]
    if not given:
        named = [Column(emotion, "emotion", "classes")]
        named += [Column(key, key, kind) for key, kind in KNOWN.items() if key != "emotion"]
    elif emotion != "emotion":
        named = [Column(emotion, "emotion", "classes"), *named]
    keys = [column.key for column in named]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ConfigError("--label", f"{', '.join(twice)} twice", expected="each label once")
    known = dict(map(_scale, scales))
    if unknown := sorted(known.keys() - {*keys}):
        raise ConfigError("--scale", ", ".join(unknown), expected=f"labels among {keys}")
    of_words = [
        each.key for each in named if each.key in known and each.kind not in (None, "number")
    ]
    if of_words:
        raise ConfigError("--scale", f"of {', '.join(of_words)}", expected="a scale of numbers")
    return [replace(column, scale=known.get(column.key)) for column in named]


def with_kinds(named: Sequence[Column], cells: Mapping[str, Sequence[str]]) -> list[Column]:
    """The columns of which there are `cells` (by column), each with the kind that these have.

    A column is of numbers if at least half of its cells are: the others then are mistakes.
    """
    found = []
    for column in named:
        own = cells.get(column.name, ())
        if not own:
            continue
        kind = column.kind
        if kind is None and (column.key != "sentiment" or column.scale is not None):
            numbers = sum(number_of(cell) is not None for cell in own)
            kind = "number" if 2 * numbers >= len(own) or column.scale else kind_of(own)
        found.append(replace(column, kind=kind))
    return found


def unscaled(column: Column, cells: Sequence[str]) -> str | None:
    """What to do about numbers beyond the manifest's range of their label; None: they fit."""
    if column.key not in LABEL_RANGES or column.scale is not None:
        return None
    (low, high), numbers = LABEL_RANGES[column.key], [*filter(None, map(number_of, cells))]
    if not numbers or (low <= min(numbers) and max(numbers) <= high):
        return None
    return (
        f"{column.name} reaches from {min(numbers):g} to {max(numbers):g}, and a manifest's "
        f"{column.key} from {low:g} to {high:g}: say what scale it is on, "
        f"--scale {column.key}=LOW:HIGH, and it is mapped; or keep it under a name of its own, "
        f"--label {column.name}=own_{column.key}"
    )


def number_of(text: str) -> float | None:
    """The finite number that a cell is, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _column(given: str) -> Column:
    rest, _, kind = given.rpartition(":")
    if kind not in KINDS:
        rest, kind = given, ""
    name, _, key = rest.rpartition("=") if "=" in rest else (rest, "", rest)
    name, key = name.strip().lower(), re.sub(r"\W+", "_", key.strip().lower()).strip("_")
    if not name or not key:
        raise ConfigError(
            "--label", repr(given), expected=f"COLUMN[=NAME][:KIND], KIND one of {', '.join(KINDS)}"
        )
    known = KNOWN.get(key)
    if kind and known not in (None, kind):
        raise ConfigError(
            "--label",
            repr(given),
            expected=f"{known}, which {key} always is",
            fix="name it otherwise",
        )
    return Column(name, key, kind or known)  # type: ignore[arg-type]


def _scale(given: str) -> tuple[str, Scale]:
    key, _, ends = given.strip().lower().rpartition("=")
    low, high = (number_of(each) for each in ends.partition(":")[::2])
    if not key or low is None or high is None or not low < high:
        raise ConfigError("--scale", repr(given), expected="LABEL=LOW:HIGH, such as valence=1:9")
    return key, (low, high)
