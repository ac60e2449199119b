"""What a benchmark found, in the one form that the suite collects: a ratio to a named alternative.

A script calls `report` at its end; alone it prints its own table as ever, and nothing else happens.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

FILE = "AFFECT_BENCHMARK_ROWS"  # where the suite wants this process's rows
Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Row:
    """A ratio of `what` to the same of `against`: the median of `n` rounds, and their range."""

    what: str
    against: str
    ratio: float
    low: float
    high: float
    n: int
    better: Better

    @classmethod
    def of(cls, what: str, against: str, ratios: Sequence[float], better: Better) -> Row:
        """Of the rounds' ratios, each made within its round."""
        return cls(what, against, median(ratios), min(ratios), max(ratios), len(ratios), better)

    def is_worse_than(self, earlier: Row) -> bool:
        """Whether it moved the wrong way by more than either of the two ranges is wide."""
        loss = self.ratio - earlier.ratio
        if self.better == "higher":
            loss = -loss
        return loss > max(self.high - self.low, earlier.high - earlier.low)


def report(rows: Sequence[Row]) -> None:
    """Hand the rows to the suite, where it started this process."""
    if path := os.environ.get(FILE):
        Path(path).write_text(json.dumps([asdict(row) for row in rows]), encoding="utf-8")


def read(path: Path) -> list[Row]:
    """The rows of a process that has ended; none where it wrote no file."""
    given: list[dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else []
    return [Row(**each) for each in given]
