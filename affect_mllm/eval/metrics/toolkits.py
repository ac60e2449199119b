"""Formulas of general benchmarks where a publisher or a toolkit has another one than ours.

For `compat` alone; how they read is in `eval/read/toolkit_letters.py` and its like.
"""

from __future__ import annotations

import numpy as np

from affect_mllm.eval.metrics.base import Array, Metric, counted, mean_of, ratio
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.metrics.classes import KINDS, hits_of

CHOICE = ("multiple_choice",)
MMSTAR = 1500  # questions


def of_all_mmstar(sums: Array) -> Array:
    """Right answers of MMStar's 1,500, however many were asked (MMStar@88f243a)."""
    return sums[..., 1] / MMSTAR


def l2_hits(read: Read) -> Array:
    """`[n, K, 2]`: of each `l2_category` that occurs, whether a row is of it, and right."""
    names = sorted({str(sample.labels.get("l2_category")) for sample in read.samples})
    place = np.array([names.index(str(s.labels.get("l2_category"))) for s in read.samples])
    found = np.zeros((len(read), len(names), 2))
    found[np.arange(len(read)), place] = hits_of(read)
    return found


def mean_of_parts(sums: Array) -> Array:
    """The unweighted mean over parts that have rows, `[...]` (lmms-eval@75571cf, MMStar)."""
    there = (sums[..., 0] > 0).sum(-1)
    return ratio(ratio(sums[..., 1], sums[..., 0]).sum(-1), there)


def any_hits(read: Read) -> Array:
    """`[n, 2]`: whether the truth is among the options that would be called right."""
    pairs = zip(read.truth, read.answers, strict=True)
    return counted(np.array([isinstance(a, tuple) and t in a for t, a in pairs], dtype=np.float64))


METRICS: dict[str, Metric] = {
    "mmstar_of_1500": Metric(hits_of, of_all_mmstar, CHOICE),
    "l2_mean_accuracy": Metric(l2_hits, mean_of_parts, KINDS),
    "any_of_accuracy": Metric(any_hits, mean_of, CHOICE, proportion=True),
}
