"""How well confidence agrees with being right: ECE, Brier, AUROC.

A confidence is the model's own (`confidence` of a prediction, in [0, 1]), else the share of its
answer in the softmax of `scores`. An answer without either has none: it is left out, the metric's
`coverage` says how many have one, and where none has the metric has no value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from affect_mllm.eval.metrics.base import Array, Metric, counted, mean_of, ratio
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.metrics.classes import KINDS
from affect_mllm.eval.predictions import Prediction, softmax
from affect_mllm.eval.read.base import Answer

BINS = 10


def confidences(read: Read) -> NDArray[np.float64]:
    """`[n]`, NaN where there is none."""
    rows = zip(read.predictions, read.answers, strict=True)
    return np.array([_confidence(row, answer, read.labels) for row, answer in rows], np.float64)


def _confidence(row: Prediction | None, answer: Answer, labels: tuple[str, ...]) -> float:
    if row is not None and row.confidence is not None:
        return row.confidence
    if row is None or not isinstance(answer, str) or not set(labels) <= row.scores.keys():
        return np.nan
    return softmax({label: row.scores[label] for label in labels}).get(answer, np.nan)


def squared_gaps(read: Read) -> Array:
    """`[n, 2]`: whether there is a confidence, and its squared distance from the outcome."""
    stated = confidences(read)
    return counted((stated - read.right) ** 2, ~np.isnan(stated))


def bin_sums(read: Read) -> Array:
    """`[n, BINS, 3]`: count, confidence and outcome of each bin."""
    stated = confidences(read)
    return binned(read, np.minimum(BINS - 1, np.nan_to_num(stated) * BINS // 1), BINS)


def binned(read: Read, places: NDArray, bins: int) -> Array:
    """The same of any bins; a place outside of them leaves its sample out."""
    stated = confidences(read)
    inside = ~np.isnan(stated) & (places < bins)
    rows, place = np.flatnonzero(inside), places[inside].astype(int)
    found = np.zeros((len(read), bins, 3))
    found[rows, place, 0] = 1.0
    found[rows, place, 1] = stated[inside]
    found[rows, place, 2] = read.right[inside]
    return found


def bin_gaps(sums: Array) -> Array:
    """Each bin's share of the expected calibration error, with its sign, `[..., BINS]`."""
    return ratio(sums[..., 1] - sums[..., 2], sums[..., 0].sum(-1)[..., None])


def expected_error(sums: Array) -> Array:
    """Expected calibration error, `[...]`."""
    return np.abs(bin_gaps(sums)).sum(-1)


def outcomes(read: Read) -> Array:
    """`[n, 3]`: whether there is a confidence, the confidence, and whether the answer is right."""
    stated = confidences(read)
    rows = np.stack([np.ones(len(read)), stated, read.right], axis=1)
    return np.where(np.isnan(stated)[:, None], 0.0, rows)


def auroc(rows: Array) -> Array:
    """Area under the ROC curve of confidence as a sign of being right; NaN if all are alike."""
    from sklearn.metrics import roc_auc_score

    _, stated, right = rows[rows[:, 0] > 0].T
    both = len(set(right)) == 2
    return np.asarray(roc_auc_score(right, stated) if both else np.nan)


METRICS: dict[str, Metric] = {
    "ece": Metric(
        bin_sums, expected_error, KINDS, best=0.0, worst=1.0, scale="error", parts=bin_gaps
    ),
    "brier": Metric(squared_gaps, mean_of, KINDS, best=0.0, worst=1.0, scale="error"),
    "auroc": Metric(outcomes, auroc, KINDS, worst=None, whole=True),
}
