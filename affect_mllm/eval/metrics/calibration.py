"""How well a stated confidence agrees with being right: ECE, Brier, AUROC.

A prediction carries `confidence` in [0, 1]. One without it counts as wholly wrong in `ece` and
`brier`: an answer that hides its confidence is not a well-calibrated one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from affect_mllm.eval.metrics.base import Array, Metric, counted, mean_of, ratio
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.metrics.classes import KINDS

BINS = 10


def confidences(read: Read) -> NDArray[np.float64]:
    """`[n]`, NaN where a prediction states none."""
    found = [None if p is None else p.confidence for p in read.predictions]
    return np.array([np.nan if value is None else value for value in found])


def squared_gaps(read: Read) -> Array:
    """`[n, 2]`: one, and the squared distance of confidence and outcome."""
    stated, right = confidences(read), read.right
    return counted(np.where(np.isnan(stated), 1.0, (np.nan_to_num(stated) - right) ** 2))


def bin_sums(read: Read) -> Array:
    """`[n, BINS + 1, 3]`: count, confidence and outcome of each bin; the last has none stated."""
    return _bins(read, np.minimum(BINS - 1, np.nan_to_num(confidences(read)) * BINS // 1))


def open_bin_sums(read: Read) -> Array:
    """The same with bins [low, high): a confidence of 1 falls into none, but counts in n.

    So does wdqqdw/EmoCaliber@a520291, which publishes VECBench.
    """
    edges = np.linspace(0, 1, BINS + 1)  # 0.7 lies below the edge that rounding makes of it
    stated = np.nan_to_num(confidences(read))
    return _bins(read, np.searchsorted(edges, stated, side="right") - 1)


def expected_error(sums: Array) -> Array:
    """Expected calibration error, `[...]`."""
    n = sums[..., 0].sum(-1)
    gaps = np.abs(sums[..., :BINS, 1] - sums[..., :BINS, 2]).sum(-1) + sums[..., BINS, 0]
    return ratio(gaps, n)


def open_expected_error(sums: Array) -> Array:
    """The same where the last bin adds to n alone."""
    gaps = np.abs(sums[..., :BINS, 1] - sums[..., :BINS, 2]).sum(-1)
    return ratio(gaps, sums[..., 0].sum(-1))


def auroc(confidence: Sequence[float], right: Sequence[bool]) -> float:
    """Area under the ROC curve of confidence as a sign of being right; NaN if all are alike."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(right, confidence)) if len(set(right)) == 2 else float("nan")


def _bins(read: Read, places: NDArray) -> Array:
    stated = confidences(read)
    number = np.where(np.isnan(stated) | (places >= BINS), BINS, places).astype(int)
    found = np.zeros((len(read), BINS + 1, 3))
    rows = np.arange(len(read))
    found[rows, number, 0] = 1.0
    found[rows, number, 1] = np.nan_to_num(stated)
    found[rows, number, 2] = read.right
    return found


METRICS: dict[str, Metric] = {
    "ece": Metric(bin_sums, expected_error, KINDS, best=0.0, worst=1.0),
    "brier": Metric(squared_gaps, mean_of, KINDS, best=0.0, worst=1.0),
    "ece_open_bins": Metric(open_bin_sums, open_expected_error, KINDS, best=0.0, worst=1.0),
}
