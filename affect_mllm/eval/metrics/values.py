"""Metrics of numbers on a scale, with a stated place for answers that could not be read.

Such an answer counts as an error of the whole scale in `mae` and `rmse`, as wrong in the binned
accuracies, as having no class in F1; the correlations are those of the answers that were read,
times their share where they are above zero, so that silence cannot raise them.

Binary polarity of MOSI and MOSEI has two conventions (thuiar/MMSA@a94e65d `metricsTop.py`):
negative against non-negative over all samples (`has0`), and negative against positive over those
whose truth is not zero (`non0`); there an answer of exactly zero is not positive. `acc7` and `acc5`
clip to ±3 and ±2 and round half to even. CH-SIMS takes zero as negative in its binary metrics
(`sims`), and has bins at ±0.1 and ±0.7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affect_mllm.eval.metrics import classes
from affect_mllm.eval.metrics.base import Array, Metric, Statistic, counted, mean_of, ratio
from affect_mllm.eval.metrics.beside_truth import Read

KINDS = ("regression",)
SIMS_3 = (-0.1, 0.1)
SIMS_5 = (-0.7, -0.1, 0.1, 0.7)
Bins = Callable[[Array], NDArray]


def absolute_errors(read: Read) -> Array:
    """`[n, 2]`: one, and the error or the scale's width."""
    return counted(_errors(read))


def squared_errors(read: Read) -> Array:
    """`[n, 2]`: one, and the squared error or the squared width of the scale."""
    return counted(_errors(read) ** 2)


def moments(read: Read) -> Array:
    """`[n, 7]`: one; then of an answer that was read one, x, y, x², y², xy (x: the truth).

    Centred on the middle of the scale, which changes nothing but rounding.
    """
    return _moments(read.numbers - (read.low + read.high) / 2)


def rank_moments(read: Read) -> Array:
    """The same of the ranks among the answers that were read; ranks are those of the whole set."""
    from scipy.stats import rankdata

    x, y = read.numbers.copy()
    seen = ~np.isnan(y)
    for side in (x, y):
        side[seen] = rankdata(side[seen]) - (seen.sum() + 1) / 2
    return _moments(np.stack([x, y]))


def pearson(sums: Array) -> Array:
    """Pearson's correlation of what was read, times its share; 0 where it is not defined."""
    share, _, variance_x, variance_y, covariance = _parts(sums)
    scale = np.sqrt(np.maximum(variance_x, 0) * np.maximum(variance_y, 0))
    return _shared(ratio(covariance, np.where(scale > 1e-12, scale, 0.0)), share)


def ccc(sums: Array) -> Array:
    """Lin's concordance correlation (population variances), times the share that was read."""
    share, shift, variance_x, variance_y, covariance = _parts(sums)
    return _shared(ratio(2 * covariance, variance_x + variance_y + shift**2), share)


def root_mean(sums: Array) -> Array:
    """The square root of a mean."""
    return np.sqrt(mean_of(sums))


def same_sign(read: Read) -> Array:
    """`[n, 2]`: one, and whether truth and answer have one sign (SAGR; zero is a sign)."""
    x, y = read.numbers
    return counted(np.sign(x) == np.sign(y))


def bins_equal(bins: Bins) -> Statistic:
    """A statistic `[n, 2]`: one, and whether truth and answer fall into the same bin."""

    def statistic(read: Read) -> Array:
        x, y = read.numbers
        return counted((bins(x) == bins(np.nan_to_num(y))) & ~np.isnan(y))

    return statistic


def signs_equal(zero: str) -> Statistic:
    """The same for the sign, by the convention "has0", "non0" or "sims"."""

    def statistic(read: Read) -> Array:
        truth, answers, used = _polarity(read, zero)
        return counted(truth == answers, used)

    return statistic


def sign_confusions(zero: str) -> Statistic:
    """Confusion counts `[n, 2, 3]` of the sign, by the same conventions."""

    def statistic(read: Read) -> Array:
        truth, answers, used = _polarity(read, zero)
        found = np.zeros((len(read), 2, 3))
        found[np.arange(len(read)), truth, answers] = used
        return found

    return statistic


def rounded_to(limit: int) -> Bins:
    """Bins of whole numbers from −limit to limit."""
    return lambda values: np.round(np.clip(values, -limit, limit))


def edges(ends: Sequence[float]) -> Bins:
    """Bins between `ends`, each with its upper end."""
    return lambda values: np.searchsorted(np.asarray(ends, dtype=values.dtype), values, side="left")


def kendall(truth: Sequence[float], answers: Sequence[float]) -> float:
    """Kendall's tau-b of numbers that were all read."""
    from scipy.stats import kendalltau

    found: Any = kendalltau(truth, answers)
    return float(found.statistic)


def r_squared(sums: Array) -> Array:
    """Coefficient of determination of what was read, times its share."""
    n, seen, x, _, xx, yy, xy = np.moveaxis(sums, -1, 0)
    value = 1 - ratio(xx + yy - 2 * xy, xx - ratio(x * x, seen))
    return _shared(value, ratio(seen, n))


def _shared(value: Array, share: Array) -> Array:
    """`value` times the share that was read; as it is below zero, where that would raise it."""
    return np.where(value < 0, value, share * value)


def _errors(read: Read) -> Array:
    x, y = read.numbers
    return np.where(np.isnan(y), read.high - read.low, np.abs(x - np.nan_to_num(y)))


def _moments(numbers: Array) -> Array:
    seen = ~np.isnan(numbers[1])
    x, y = np.where(seen, numbers, 0.0)
    return np.stack([np.ones(len(x)), seen, x, y, x * x, y * y, x * y], axis=1)


def _parts(sums: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Share read, difference of means, the two variances and the covariance."""
    n, seen, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    x, y = ratio(x, seen), ratio(y, seen)
    variances = (ratio(xx, seen) - x * x, ratio(yy, seen) - y * y)
    return ratio(seen, n), x - y, *variances, ratio(xy, seen) - x * y


def _polarity(read: Read, zero: str) -> tuple[NDArray, NDArray, NDArray]:
    """Class numbers (0 negative, 1 not; 2 unread) and which samples count."""
    x, y = read.numbers
    truth, answers = ((v >= 0) if zero == "has0" else (v > 0) for v in (x, np.nan_to_num(y)))
    used = x != 0 if zero == "non0" else np.ones(len(x), dtype=bool)
    return truth.astype(int), np.where(np.isnan(y), 2, answers.astype(int)), used


METRICS: dict[str, Metric] = {
    "mae": Metric(absolute_errors, mean_of, KINDS, best=0.0, worst=None),
    "rmse": Metric(squared_errors, root_mean, KINDS, best=0.0, worst=None),
    "pearson": Metric(moments, pearson, KINDS),
    "spearman": Metric(rank_moments, pearson, KINDS),
    "ccc": Metric(moments, ccc, KINDS),
    "r2": Metric(moments, r_squared, KINDS),
    "sagr": Metric(same_sign, mean_of, KINDS, proportion=True),
    "acc2_has0": Metric(signs_equal("has0"), mean_of, KINDS, proportion=True),
    "f1_has0": Metric(sign_confusions("has0"), classes.weighted_f1, KINDS),
    "acc2_non0": Metric(signs_equal("non0"), mean_of, KINDS, proportion=True),
    "f1_non0": Metric(sign_confusions("non0"), classes.weighted_f1, KINDS),
    "acc5": Metric(bins_equal(rounded_to(2)), mean_of, KINDS, proportion=True),
    "acc7": Metric(bins_equal(rounded_to(3)), mean_of, KINDS, proportion=True),
    "sims_acc2": Metric(signs_equal("sims"), mean_of, KINDS, proportion=True),
    "sims_f1": Metric(sign_confusions("sims"), classes.weighted_f1, KINDS),
    "sims_acc3": Metric(bins_equal(edges(SIMS_3)), mean_of, KINDS, proportion=True),
    "sims_acc5": Metric(bins_equal(edges(SIMS_5)), mean_of, KINDS, proportion=True),
}
