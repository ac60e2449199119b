"""A judge's verdicts: their file, and how published judges' replies are read.

`verdicts.jsonl` has one object a line: `{"id", "scores": {NAME: number from 0 to 1 or null}}`, and
whatever else records the judge (`judge`, `prompt_hash`, `reply`). A null score is a reply that
could not be read; it counts as 0.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affect_mllm.eval.predictions import raise_problems
from affect_mllm.types import DataError

_BLOCK = re.compile(r"<score>(.*?)</score>")
_ONES = re.compile(r": (\d)/1")
_FRACTIONS = re.compile(r":\s*(\d+)/(\d+)")


@dataclass(frozen=True)
class Chain:
    """MME-Emotion's scores of a chain of steps: the last one, the mean of the others, and how many.

    `reasoning` is 0 where there is no other step.
    """

    recognition: float
    reasoning: float
    steps: int


@dataclass(frozen=True)
class ChainMeans:
    """Means over the replies that could be read (`count`), in percent as published."""

    count: int
    recognition: float
    reasoning: float
    cot: float
    steps: float


def read_verdicts(path: Path) -> dict[str, Mapping[str, float | None]]:
    """Scores by id; DataError lists, as `file:line`, each row that is not of the form above."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), f"cannot be read: {error}") from error
    found: dict[str, Mapping[str, float | None]] = {}
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            faults = list(_add(found, line))
            problems += [f"{path}:{number}: {fault}" for fault in faults]
    raise_problems(str(path), problems)
    return found


def step_scores(reply: str, *, fractions: bool = False) -> list[float] | None:
    """The steps' scores in a judge's reply; None without a `<score>` block on one line.

    FunAudioLLM/MME-Emotion@0c265d8: each task's script reads ": d/1", the overall one any fraction
    (`fractions`), with 0 for a denominator of 0. A block with a newline in it is not found.
    """
    block = _BLOCK.search(reply)
    if block is None:
        return None
    if not fractions:
        return [float(digit) for digit in _ONES.findall(block[1])]
    pairs = [(int(above), int(below)) for above, below in _FRACTIONS.findall(block[1])]
    return [above / below if below else 0.0 for above, below in pairs]


def chain(scores: Sequence[float]) -> Chain | None:
    """The chain's scores; None without any step."""
    if not scores:
        return None
    *others, last = scores
    return Chain(last, sum(others) / len(others) if others else 0.0, len(scores))


def chain_means(
    replies: Sequence[str], *, fractions: bool = False, alpha: float = 0.5
) -> ChainMeans:
    """MME-Emotion's published means: replies that cannot be read are left out of all of them."""
    chains = [
        found
        for reply in replies
        if (found := chain(step_scores(reply, fractions=fractions) or [])) is not None
    ]
    count = max(len(chains), 1)
    recognition, reasoning, steps = (
        sum(getattr(each, name) for each in chains) / count
        for name in ("recognition", "reasoning", "steps")
    )
    cot = alpha * recognition + (1 - alpha) * reasoning
    return ChainMeans(len(chains), 100 * recognition, 100 * reasoning, 100 * cot, steps)


def five_ratings(ratings: Sequence[float]) -> float:
    """EEmo-Bench's score of a description: five ratings of 0, 1 or 2, their sum over 10."""
    return sum(ratings) / 10


def _add(found: dict[str, Mapping[str, float | None]], line: str) -> Iterator[str]:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        yield f"not JSON ({error})"
        return
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        yield "no id (a string)"
    elif row["id"] in found:
        yield f"id {row['id']!r} again"
    elif not isinstance(row.get("scores"), dict) or not all(map(_fits, row["scores"].values())):
        yield f"{row['id']!r}: scores is not an object of numbers from 0 to 1 or null"
    else:
        found[row["id"]] = row["scores"]


def _fits(value: Any) -> bool:
    if value is None:
        return True
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and 0 <= value <= 1
