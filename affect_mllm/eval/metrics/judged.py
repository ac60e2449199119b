"""Judged metrics: means of a judge's scores as fractions of their range.

A verdict that the judge failed to give is no fault of the answer: its sample is left out, and
scoring refuses a run with more than 5 % of them. An answer that is not there has the lowest scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from affect_mllm.eval.metrics.base import Array, Metric, Statistic, counted, mean_of
from affect_mllm.eval.metrics.beside_truth import Read

KINDS = ("description",)
NAMES = ("recognition", "reasoning", "cot", "clue_overlap", "label_overlap", "rating")


def verdicts(name: str) -> Statistic:
    """A statistic `[n, 2]`: whether the judge gave a score called `name`, and the score."""

    def statistic(read: Read) -> Array:
        rows = read.verdicts or [None for _ in read.samples]
        found = [np.nan if row is None else row.get(name, np.nan) for row in rows]
        values = np.array(found, dtype=np.float64)
        return counted(values, ~np.isnan(values))

    return statistic


def chain(steps: Sequence[float]) -> dict[str, float] | None:
    """MME-Emotion's scores of a chain of steps; None without any.

    `recognition` is the last one, `reasoning` the mean of the others (0 without any), `cot` the
    mean of both.
    """
    if not steps:
        return None
    *before, last = steps
    reasoning = sum(before) / len(before) if before else 0.0
    return {"recognition": last, "reasoning": reasoning, "cot": (last + reasoning) / 2}


METRICS: dict[str, Metric] = {name: Metric(verdicts(name), mean_of, KINDS) for name in NAMES}
