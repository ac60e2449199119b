"""Classification metrics on confusion counts, their intervals, and paired comparison.

Predictions are class numbers 0..K-1 in the order of the task's label list; K means "no label was
read". Such an answer stays in the denominator: it is wrong for accuracy and recall, and for F1 it
is a class outside the label list. Every metric works on counts `[..., K, K+1]` (rows: truth,
columns: prediction), so that one call also serves all bootstrap resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]
Labels = NDArray[np.int64]
RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % confidence interval, as fractions, and the method's name."""

    value: float
    ci_low: float
    ci_high: float
    method: str


@dataclass(frozen=True)
class Paired:
    """Exact McNemar test: `n10` answers right only in the first run, `n01` only in the second."""

    n10: int
    n01: int
    p: float


def confusion(truth: Labels, predicted: Labels, classes: int) -> Counts:
    """Counts `[K, K+1]`; the last column holds the answers without a label."""
    return _cluster_counts(truth, predicted, np.zeros_like(truth), classes)[0]


def accuracy(counts: Counts) -> Counts:
    """Share of right answers, `[...]`; also called WAR (recall weighted by class size)."""
    return _ratio(np.trace(counts[..., :-1], axis1=-2, axis2=-1), counts.sum((-2, -1)))


def recalls(counts: Counts) -> Counts:
    """Recall of each class, `[..., K]`; NaN for a class that no sample has."""
    support = counts.sum(-1)
    return np.where(support > 0, _ratio(_hits(counts), support), np.nan)


def uar(counts: Counts) -> Counts:
    """Unweighted mean of the recalls of the listed classes that occur in the truth, `[...]`.

    A listed class without a sample has no recall; counting it as 0 would keep perfect answers
    from reaching 1.
    """
    present = counts.sum(-1) > 0
    total = np.where(present, _ratio(_hits(counts), counts.sum(-1)), 0.0).sum(-1)
    return _ratio(total, present.sum(-1))


def f1_scores(counts: Counts) -> Counts:
    """F1 of each class, `[..., K]`; 0 for a class neither asked for nor answered."""
    predicted = counts[..., :-1].sum(-2)
    return _ratio(2 * _hits(counts), counts.sum(-1) + predicted)


def weighted_f1(counts: Counts) -> Counts:
    """F1 weighted by class size, `[...]`."""
    support = counts.sum(-1)
    return _ratio((f1_scores(counts) * support).sum(-1), support.sum(-1))


def macro_f1(counts: Counts) -> Counts:
    """Mean F1 over the whole label list, `[...]`; a class that never occurs counts as 0.

    So does scikit-learn's `f1_score(labels=..., average="macro")`.
    """
    return f1_scores(counts).mean(-1)


METRICS: dict[str, Callable[[Counts], Counts]] = {
    "accuracy": accuracy,
    "war": accuracy,
    "uar": uar,
    "weighted_f1": weighted_f1,
    "macro_f1": macro_f1,
}
_PROPORTIONS = ("accuracy", "war")


def measure(
    truth: Labels, predicted: Labels, groups: Sequence[str], *, classes: int, names: Sequence[str]
) -> dict[str, Interval]:
    """Value and interval of each metric of `names`.

    Samples of one group are not independent, so whole groups are resampled (percentile bootstrap,
    2,000 resamples, fixed seed). A proportion over groups of one sample gets Wilson's interval.
    """
    numbers = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)[1]
    clusters = _cluster_counts(truth, predicted, numbers, classes)
    single = len(clusters) == len(truth)
    total = clusters.sum(0)
    resampled: Counts | None = None
    result = {}
    for name in names:
        value = float(METRICS[name](total))
        if single and name in _PROPORTIONS:
            low, high = wilson(round(value * len(truth)), len(truth))
            result[name] = Interval(value, low, high, "wilson")
            continue
        if resampled is None:
            resampled = _resample(clusters)
        low, high = np.quantile(METRICS[name](resampled), [0.025, 0.975])
        method = "bootstrap" if single else "clustered bootstrap"
        result[name] = Interval(value, float(low), float(high), method)
    return result


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion; (0, 1) when there is no sample."""
    from scipy.stats import binomtest

    if n == 0:
        return 0.0, 1.0
    interval = binomtest(hits, n).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> Paired:
    """Exact two-sided McNemar test of two runs over the same samples, in the same order.

    It takes samples as independent; with large groups the p-value is too small.
    """
    from scipy.stats import binomtest

    n10 = int(np.sum(first_right & ~second_right))
    n01 = int(np.sum(~first_right & second_right))
    p = binomtest(min(n10, n01), n10 + n01, 0.5).pvalue if n10 + n01 else 1.0
    return Paired(n10, n01, float(p))


def _hits(counts: Counts) -> Counts:
    return np.diagonal(counts[..., :-1], axis1=-2, axis2=-1)


def _ratio(above: NDArray, below: NDArray) -> Counts:
    """Quotient with 0 / 0 = 0."""
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=np.asarray(below) > 0)


def _cluster_counts(truth: Labels, predicted: Labels, groups: Labels, classes: int) -> Counts:
    """Confusion counts of each group, `[groups, K, K+1]`."""
    number = int(groups.max()) + 1 if len(groups) else 1
    counts = np.zeros((number, classes, classes + 1))
    np.add.at(counts, (groups, truth, predicted), 1)
    return counts


def _resample(clusters: Counts, seed: int = 0) -> Counts:
    """Total counts of `RESAMPLES` draws of as many groups with replacement."""
    groups = len(clusters)
    draws = np.random.default_rng(seed).multinomial(
        groups, np.full(groups, 1 / groups), size=RESAMPLES
    )
    flat = draws.astype(np.float64) @ clusters.reshape(groups, -1)
    return flat.reshape(RESAMPLES, *clusters.shape[1:])
