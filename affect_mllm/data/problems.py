"""What is wrong with a manifest's rows, and saying it all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from affect_mllm.types import DataError, printable

PROBLEMS_SHOWN = 20


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one row: `line` (in Parquet: row) counts from 1, `id` may be empty."""

    line: int
    id: str
    reason: str

    def __post_init__(self) -> None:
        for name in ("id", "reason"):
            object.__setattr__(self, name, printable(getattr(self, name)))

    def __str__(self) -> str:
        """What stands behind the file's name."""
        return f"{self.line}: {f'[{self.id}] ' if self.id else ''}{self.reason}"


def raise_problems(path: Path, found: Sequence[Problem], *, fix: str) -> None:
    """DataError listing the first 20 of `found` as file:line; nothing when there are none.

    `fix` is what helps there: `validate` knows the problems of a manifest's own rows only.
    """
    if not found:
        return
    lines = [f"{path}:{each}" for each in found[:PROBLEMS_SHOWN]]
    if len(found) > PROBLEMS_SHOWN:
        lines.append(f"and {len(found) - PROBLEMS_SHOWN} more")
    count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
    raise DataError(str(path), "\n    ".join([count, *lines]), fix=fix)
