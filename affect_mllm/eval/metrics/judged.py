"""Judged metrics: means of a judge's scores in [0, 1]; a verdict that failed counts as 0."""

from __future__ import annotations

import numpy as np

from affect_mllm.eval.metrics.base import Array, Metric, Statistic, counted, mean_of
from affect_mllm.eval.read import Read

KINDS = ("description",)


def verdicts(name: str) -> Statistic:
    """A statistic `[n, 2]`: one, and the score called `name`, 0 if the judge gave none."""

    def statistic(read: Read) -> Array:
        rows = read.verdicts or [{} for _ in read.samples]
        return counted(np.array([row.get(name) or 0.0 for row in rows]))

    return statistic


def _chain(read: Read) -> Array:
    """Half recognition, half reasoning: MME-Emotion's CoT score with its alpha of 0.5."""
    rows = read.verdicts or [{} for _ in read.samples]
    means = [((row.get("recognition") or 0.0) + (row.get("reasoning") or 0.0)) / 2 for row in rows]
    return counted(np.array(means))


METRICS: dict[str, Metric] = {
    "recognition": Metric(verdicts("recognition"), mean_of, KINDS),
    "reasoning": Metric(verdicts("reasoning"), mean_of, KINDS),
    "cot": Metric(_chain, mean_of, KINDS),
    "clue_overlap": Metric(verdicts("clue_overlap"), mean_of, KINDS),
    "label_overlap": Metric(verdicts("label_overlap"), mean_of, KINDS),
    "judged_score": Metric(verdicts("score"), mean_of, KINDS),
}
