"""Metrics of numbers on a scale, with a stated place for answers that could not be read.

Such an answer counts as an error of the whole scale in `mae` and `rmse`, as wrong in the binned
accuracies, as having no class in F1; the correlations are those of the answers that were read,
times their share where they are above zero, so that silence cannot raise them.

Binary polarity of MOSI and MOSEI has two conventions (thuiar/MMSA@a94e65d `metricsTop.py`):
negative against non-negative over all samples (`has0`), and negative against positive over those
whose truth is not zero (`non0`); there an answer of exactly zero is not positive. `acc7` and `acc5`
clip to ±3 and ±2 and round half to even. CH-SIMS takes zero as negative in its binary metrics
(`sims`), and has bins at ±0.1 and ±0.7.

Where the truth does not vary there is nothing to correlate with or to explain: `pearson`,
`spearman`, `kendall_tau`, `ccc` and `r2` have no value. Answers that do not vary correlate by 0.
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
    """`[n, 9]`: one, x, x²; then of an answer that was read one, x, y, x², y², xy (x: the truth).

    Centred on the middle of the scale, which changes nothing but rounding.
    """
    return _moments(read.numbers - (read.low + read.high) / 2)


def pairs(read: Read) -> Array:
    """`[n, 4]`: one, the truth, whether an answer was read, the answer (0 if not)."""
    x, y = read.numbers
    return np.stack([np.ones(len(x)), x, ~np.isnan(y), np.nan_to_num(y)], axis=1)


def ranked(of: Callable[[Array, Array], Any]) -> Callable[[Array], Array]:
    """A correlation of what was read in `pairs` `[n, 4]`, times its share."""

    def value(rows: Array) -> Array:
        _, x, seen, y = rows.T
        if not len(x) or np.ptp(x) == 0:
            return np.asarray(np.nan)
        x, y, share = x[seen > 0], y[seen > 0], seen.mean()
        if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
            return np.asarray(0.0)
        return _shared(np.asarray(of(x, y).statistic), share)

    return value


def spearman(x: Array, y: Array) -> Any:
    """Spearman's rank correlation, as scipy has it."""
    from scipy.stats import spearmanr

    return spearmanr(x, y)


def kendall(x: Array, y: Array) -> Any:
    """Kendall's tau-b, as scipy has it."""
    from scipy.stats import kendalltau

    return kendalltau(x, y)


def pearson(sums: Array) -> Array:
    """Pearson's correlation of what was read, times its share; 0 for answers that do not vary."""
    share, _, variance_x, variance_y, covariance = _parts(sums)
    scale = np.sqrt(variance_x * variance_y)
    return _defined(sums, _shared(np.clip(ratio(covariance, scale), -1, 1), share))


def ccc(sums: Array) -> Array:
    """Lin's concordance correlation (population variances), times the share that was read."""
    share, shift, variance_x, variance_y, covariance = _parts(sums)
    value = ratio(2 * covariance, variance_x + variance_y + shift**2)
    return _defined(sums, _shared(value, share))


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


def r_squared(sums: Array) -> Array:
    """Coefficient of determination of what was read, times its share.

    Where only answers to equal truths were read it is 0, as it is in scikit-learn.
    """
    share, _, variance_x, _, _ = _parts(sums)
    seen, _, _, xx, yy, xy = np.moveaxis(sums[..., 3:], -1, 0)
    lost = ratio(xx + yy - 2 * xy, seen * variance_x)
    return _defined(sums, np.where(variance_x > 0, _shared(1 - lost, share), 0.0))


def _defined(sums: Array, value: Array) -> Array:
    """`value`, NaN where the truth does not vary."""
    n, x, xx = np.moveaxis(sums[..., :3], -1, 0)
    return np.where(_varies(ratio(x, n), ratio(xx, n)) > 0, value, np.nan)


def _varies(mean: Array, square: Array) -> Array:
    """The variance, 0 where it is but rounding."""
    found = square - mean * mean
    return np.where(found > 1e-12 * square, found, 0.0)


def _shared(value: Array, share: Array) -> Array:
    """`value` times the share that was read; as it is below zero, where that would raise it."""
    return np.where(value < 0, value, share * value)


def _errors(read: Read) -> Array:
    x, y = read.numbers
    return np.where(np.isnan(y), read.high - read.low, np.abs(x - np.nan_to_num(y)))


def _moments(numbers: Array) -> Array:
    truth, seen = numbers[0], ~np.isnan(numbers[1])
    x, y = np.where(seen, numbers, 0.0)
    every = np.ones(len(x)), truth, truth * truth
    return np.stack([*every, seen, x, y, x * x, y * y, x * y], axis=1)


def _parts(sums: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Share read, difference of means, the two variances and the covariance."""
    n, (seen, x, y, xx, yy, xy) = sums[..., 0], np.moveaxis(sums[..., 3:], -1, 0)
    x, y = ratio(x, seen), ratio(y, seen)
    variances = _varies(x, ratio(xx, seen)), _varies(y, ratio(yy, seen))
    return ratio(seen, n), x - y, *variances, ratio(xy, seen) - x * y


def _polarity(read: Read, zero: str) -> tuple[NDArray, NDArray, NDArray]:
    """Class numbers (0 negative, 1 not; 2 unread) and which samples count."""
    x, y = read.numbers
    truth, answers = ((v >= 0) if zero == "has0" else (v > 0) for v in (x, np.nan_to_num(y)))
    used = x != 0 if zero == "non0" else np.ones(len(x), dtype=bool)
    return truth.astype(int), np.where(np.isnan(y), 2, answers.astype(int)), used


def _width(read: Read) -> float:
    return read.high - read.low


def _error(statistic: Statistic, value: Callable[[Array], Array]) -> Metric:
    return Metric(statistic, value, KINDS, best=0.0, worst=None, scale="error", reach=_width)


METRICS: dict[str, Metric] = {
    "mae": _error(absolute_errors, mean_of),
    "rmse": _error(squared_errors, root_mean),
    "pearson": Metric(moments, pearson, KINDS, scale="correlation"),
    "spearman": Metric(pairs, ranked(spearman), KINDS, scale="correlation", whole=True),
    "kendall_tau": Metric(pairs, ranked(kendall), KINDS, scale="correlation", whole=True),
    "ccc": Metric(moments, ccc, KINDS, scale="correlation"),
    "r2": Metric(moments, r_squared, KINDS, scale="determination"),
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
