"""A metric as a function of summed statistics, its interval, and paired comparison of two runs.

Every metric has a statistic `[n, ...]` of each sample and a value that depends on the sum of these
alone. Whole groups can therefore be resampled by weighting their sums: intervals, clustered or
not, and differences of two runs come from the same draws for every metric.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affect_mllm.eval.metrics.beside_truth import Read

Array = NDArray[np.float64]
Statistic = Callable[[Read], Array]
RESAMPLES = 2000
_BLOCK = 4096  # groups resampled at a time


@dataclass(frozen=True)
class Metric:
    """`value` of the sum of `statistic` `[n, ...]` over samples; `[..., S]` gives `[...]`.

    A statistic that is all zero leaves its sample out. `best` is what right answers reach, `worst`
    what answers reach that cannot be read, None where that depends on the
    task: the width of its scale, or its number of labels. `kinds` are the
    kinds of task that have it. A `proportion` of independent samples gets Wilson's interval.
    `over_list`: a mean over all listed classes, of which one that never occurs counts as 0.
    """

    statistic: Statistic
    value: Callable[[Array], Array]
    kinds: tuple[str, ...]
    best: float = 1.0
    worst: float | None = 0.0
    proportion: bool = False
    over_list: bool = False


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % confidence interval, the method's name, and how many samples count.

    The value is NaN where a publisher's formula gives none.
    """

    value: float
    ci_low: float
    ci_high: float
    method: str
    n: int


@dataclass(frozen=True)
class Paired:
    """Exact McNemar test: `n10` answers right only in the first run, `n01` only in the second."""

    n10: int
    n01: int
    p: float


@dataclass(frozen=True)
class Difference:
    """First run minus second on the same samples, with its bootstrap interval and p-value."""

    value: float
    ci_low: float
    ci_high: float
    p: float


class Resampled:
    """Sums of statistics over all samples and over `RESAMPLES` draws of groups (seeded)."""

    def __init__(self, groups: Sequence[str], seed: int = 0) -> None:
        self._numbers = np.unique(
            np.asarray(groups, dtype=object).astype(str), return_inverse=True
        )[1]
        self.groups = int(self._numbers.max()) + 1 if len(groups) else 0
        self.single = self.groups == len(groups)
        self._seed = seed
        self._draws: Array | None = None

    def sums(self, statistic: Array) -> tuple[Array, Array]:
        """The total `[...]` and the totals of the draws `[RESAMPLES, ...]`."""
        shape = statistic.shape[1:]
        flat = statistic.reshape(len(statistic), -1)
        clusters = np.zeros((self.groups, flat.shape[1]))
        order = np.argsort(self._numbers, kind="stable")
        starts = np.searchsorted(self._numbers[order], np.arange(self.groups))
        clusters[:] = np.add.reduceat(flat[order], starts, axis=0)
        draws = self._draw()
        drawn = np.zeros((RESAMPLES, flat.shape[1]))
        for start in range(0, self.groups, _BLOCK):
            drawn += draws[:, start : start + _BLOCK] @ clusters[start : start + _BLOCK]
        return flat.sum(0).reshape(shape), drawn.reshape(RESAMPLES, *shape)

    def _draw(self) -> Array:
        """How often each group is drawn, `[RESAMPLES, groups]`."""
        if self._draws is None:
            generator = np.random.default_rng(self._seed)
            even = np.full(self.groups, 1 / self.groups)
            counts = generator.multinomial(self.groups, even, size=RESAMPLES)
            self._draws = counts.astype(np.float64)
        return self._draws


def measure(
    read: Read, metrics: Mapping[str, Metric], groups: Sequence[str]
) -> dict[str, Interval]:
    """Value and interval of each metric over `read`, whose samples belong to `groups`.

    Samples of one group are not independent, so whole groups are resampled (percentile bootstrap,
    2,000 draws, fixed seed). A proportion over groups of one sample gets Wilson's interval.
    """
    resampled = Resampled(groups)
    known: dict[Statistic, Array] = {}
    sums: dict[Statistic, tuple[Array, Array]] = {}
    result = {}
    for name, metric in metrics.items():
        statistic = known.setdefault(metric.statistic, metric.statistic(read))
        used = int(_counts(statistic).sum())
        value = float(metric.value(statistic.sum(0)))
        if metric.proportion and resampled.single:
            low, high = wilson(round(value * used), used)
            result[name] = Interval(value, low, high, "wilson", used)
            continue
        if metric.statistic not in sums:
            sums[metric.statistic] = resampled.sums(statistic)
        drawn = np.asarray(metric.value(sums[metric.statistic][1]))
        low, high = _ends(drawn) if not np.isnan(value) else (value, value)
        method = "bootstrap" if resampled.single else "clustered bootstrap"
        result[name] = Interval(value, low, high, method, used)
    return result


def difference(first: Read, second: Read, metric: Metric, groups: Sequence[str]) -> Difference:
    """How far `first` is above `second` on the same samples, by a paired bootstrap over groups.

    The p-value is twice the smaller share of draws on either side of zero, at least 1/RESAMPLES.
    """
    resampled = Resampled(groups)
    totals = [resampled.sums(metric.statistic(read)) for read in (first, second)]
    value = float(metric.value(totals[0][0]) - metric.value(totals[1][0]))
    drawn = np.asarray(metric.value(totals[0][1]) - metric.value(totals[1][1]))
    low, high = _ends(drawn)
    tail = min(np.mean(drawn <= 0), np.mean(drawn >= 0))
    return Difference(value, low, high, float(min(1.0, max(2 * tail, 1 / RESAMPLES))))


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


def ratio(above: Array, below: Array) -> Array:
    """Quotient with 0 / 0 = 0."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    shape = np.broadcast_shapes(above.shape, below.shape)
    return np.divide(above, below, out=np.zeros(shape), where=below != 0)


def mean_of(sums: Array) -> Array:
    """The mean of a statistic `[count, quantity]`."""
    return ratio(sums[..., 1], sums[..., 0])


def counted(values: Array, used: NDArray[np.bool_] | None = None) -> Array:
    """The statistic `[n, 2]` of a mean: whether a sample counts, and its value where it does."""
    mask = np.ones(len(values), dtype=bool) if used is None else used
    return np.stack([mask, np.where(mask, values, 0.0)], axis=1).astype(np.float64)


def _counts(statistic: Array) -> NDArray[np.bool_]:
    return (statistic.reshape(len(statistic), -1) != 0).any(axis=1)


def _ends(drawn: Array) -> tuple[float, float]:
    if np.isnan(drawn).all():
        return float("nan"), float("nan")
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(low), float(high)
