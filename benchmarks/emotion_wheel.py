"""How many pairs of label lists the emotion wheel scores in a second, on one core.

    python benchmarks/emotion_wheel.py [--quick] [--wheel-tables DIR]

A pair is three true and four predicted labels, as a reward has them: most are words of the list,
some inflected, one in twenty unknown. Baseline: the same scores with every label looked up anew,
which is what the formula costs without remembering labels.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from affect_mllm.eval.emotion_wheel import own
from affect_mllm.eval.emotion_wheel.published import read_tables
from affect_mllm.eval.emotion_wheel.score import pair_f1
from affect_mllm.eval.emotion_wheel.tables import WheelTables

Pair = tuple[Sequence[str], Sequence[str]]


def main(
    quick: Annotated[bool, typer.Option(help="A tenth of the pairs.")] = False,
    wheel_tables: Annotated[Path | None, typer.Option(help="Published tables as well.")] = None,
) -> None:
    """Print one row a table and level."""
    pairs = _pairs(2_000 if quick else 20_000)
    tables = [own.own_tables()] + ([read_tables(wheel_tables)] if wheel_tables else [])
    print(f"{len(pairs)} pairs")
    print(f"{'tables':14} {'level':8} {'pairs/s':>10} {'× anew':>8}")
    for table in tables:
        _rate(pairs[:100], table, "all")  # what is read on first use
        for level in ("level1", "all"):
            remembered = _rate(pairs, table, level)
            anew = _rate(pairs[: len(pairs) // 10], table, level, forget=True)
            print(f"{table.name:14} {level:8} {remembered:10.0f} {remembered / anew:8.1f}")


def _pairs(count: int) -> list[Pair]:
    draw = random.Random(0)
    words = sorted(form for form in own.forms() if form.isascii())
    words += [f"unknown{i}" for i in range(len(words) // 20)]
    return [(draw.sample(words, 3), draw.sample(words, 4)) for _ in range(count)]


def _rate(pairs: Sequence[Pair], tables: WheelTables, level: str, *, forget: bool = False) -> float:
    start = time.perf_counter()
    for truth, predicted in pairs:
        used = replace(tables, _seen={}) if forget else tables
        pair_f1(truth, predicted, used, level)
    return len(pairs) / (time.perf_counter() - start)


if __name__ == "__main__":
    typer.run(main)
