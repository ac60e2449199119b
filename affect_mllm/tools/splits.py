"""A seeded train/val/test split that never puts one group into two splits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from affect_mllm.types import ConfigError, DataError


@dataclass(frozen=True)
class Fractions:
    """Shares of the rows for `val` and `test`; the rest is `train`. ConfigError if none is left."""

    val: float = 0.1
    test: float = 0.1
    seed: int = 1

    def __post_init__(self) -> None:
        if min(self.val, self.test) < 0 or not self.val + self.test < 1:
            raise ConfigError(
                "split fractions",
                f"val {self.val} and test {self.test}",
                expected="not negative, and a sum below 1",
            )


def assign(rows: Iterable[dict[str, Any]], fractions: Fractions) -> str:
    """Set `split` of every row and return a sentence that says by what the rows were kept together.

    Kept together are rows of one `group` where any row has one, else of one `speaker`; a row
    without it stands alone.
    """
    rows = list(rows)
    key = next((key for key in ("group", "speaker") if any(key in row for row in rows)), "id")
    units = [(key, row[key]) if key in row else ("id", row["id"]) for row in rows]
    split_of = split_units(Counter(units), fractions)
    for row, unit in zip(rows, units, strict=True):
        row["split"] = split_of[unit]
    return f"split made by {key} with seed {fractions.seed}"


def split_units(
    sizes: Mapping[tuple[str, str], int], fractions: Fractions
) -> dict[tuple[str, str], str]:
    """Unit → split, for units of `sizes` rows, the same for the same seed in any order.

    A split is filled up to its share, in an order drawn by the seed; where no unit is small
    enough it gets the smallest one. DataError when there are fewer units than splits.
    """
    wanted = {"test": fractions.test, "val": fractions.val}
    wanted = {split: share for split, share in wanted.items() if share > 0}
    if len(sizes) <= len(wanted):
        raise DataError(
            "split",
            f"{len(sizes)} groups of rows for {len(wanted) + 1} splits",
            fix="add a split column, or set --val-fraction 0 or --test-fraction 0",
        )
    order = sorted(sizes, key=lambda unit: _draw(fractions.seed, unit))
    result: dict[tuple[str, str], str] = {}
    for later, (split, share) in enumerate(wanted.items()):
        # One unit stays for each split that is still to be filled, train among them.
        keep = len(wanted) - later
        chosen = _fill(order, sizes, share * sum(sizes.values()))[: len(order) - keep]
        result |= dict.fromkeys(chosen, split)
        order = [unit for unit in order if unit not in result]
    return result | dict.fromkeys(order, "train")


def _fill(
    order: list[tuple[str, str]], sizes: Mapping[tuple[str, str], int], wanted_rows: float
) -> list[tuple[str, str]]:
    chosen, rows = [], 0
    for unit in order:
        if rows + sizes[unit] <= wanted_rows + 0.5:
            chosen.append(unit)
            rows += sizes[unit]
    return chosen or [min(order, key=lambda unit: sizes[unit])]


def _draw(seed: int, unit: tuple[str, str]) -> bytes:
    """A number for each unit that depends on nothing but the seed and its own name."""
    return hashlib.sha256(f"{seed}\0{unit[0]}\0{unit[1]}".encode()).digest()
