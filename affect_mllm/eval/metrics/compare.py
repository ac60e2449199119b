"""Two runs on the same samples: the difference of a metric, its interval, and one p-value.

The p-value is that of a permutation test over groups: if both runs are alike, exchanging their
answers in any of the groups changes nothing but chance. It is exact for shares of right answers
(where every group is one sample, it is McNemar's exact test) and for few groups, else drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from affect_mllm.eval.metrics.base import Array, Metric, counts, mean_of
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.metrics.groups import Groups, jackknife, without_each
from affect_mllm.eval.metrics.intervals import (
    NONE,
    ONE_GROUP,
    UNDEFINED,
    quantile,
    unseen_share,
)

_DRAWS, _DRAWS_WHOLE = 9999, 999
_MOST = 12  # differing groups, up to which every exchange is tried
_COST = 10**8  # steps of the exact distribution above which it is drawn instead
_PARTS = 1000  # groups that are exchanged at most; more are merged
_CHUNK = 2000


@dataclass(frozen=True)
class Difference:
    """First run minus second; the interval is NaN where there is one group, all where no value."""

    value: float
    ci_low: float
    ci_high: float
    p: float
    se: float = NONE
    method: str = "t"


def difference(first: Read, second: Read, metric: Metric, groups: Sequence[str]) -> Difference:
    """How far `first` is above `second` on the same samples, groups being independent.

    The interval is Student's on the jackknife's variance, which counts one more differing group
    than there are (Agresti and Min 2005 do so for pairs); runs that never differ could do so in
    the share of groups that stayed unseen.
    """
    pair = first.statistic(metric.statistic), second.statistic(metric.statistic)
    width = abs(metric.best - metric.worst_of(first)) * (2 if metric.scale == "correlation" else 1)
    return difference_of(metric, *pair, Groups.named(groups), width)


def difference_of(
    metric: Metric, first: Array, second: Array, groups: Groups, width: float
) -> Difference:
    """The same of statistics `[n, ...]`; no difference is greater than `width`."""
    metric = replace(metric, digits=None)  # a publisher's rounding would make chances of its own
    used = counts(first) | counts(second)
    if not used.all():
        first, second, groups = first[used], second[used], groups.take(used)
    value = metric.of(first) - metric.of(second) if used.any() else NONE
    if math.isnan(value):
        return Difference(value, NONE, NONE, NONE, method=UNDEFINED)
    p = permutation_p(metric, first, second, groups)
    if groups.count < 2:
        return Difference(value, NONE, NONE, p, method=ONE_GROUP)
    differing = len(np.unique(groups.numbers[_differ(first, second)]))
    spread = _variance(metric, (first, second), groups, value)
    if math.isnan(spread):
        return Difference(value, NONE, NONE, p, method=UNDEFINED)
    if not differing:
        reach, method = unseen_share(groups.effective) * width, "border"
    else:
        df = max(groups.effective - 1, 1.0)
        reach, method = quantile(df) * math.sqrt(spread * (1 + 1 / differing)), "t"
    low, high = max(value - reach, -width), min(value + reach, width)
    return Difference(value, min(low, value), max(high, value), p, math.sqrt(spread), method)


def _variance(metric: Metric, pair: tuple[Array, Array], groups: Groups, value: float) -> float:
    """Of the difference; never less than between single samples (as `groups.variance`)."""
    ways = [groups] if groups.single or metric.whole else [groups, Groups(np.arange(len(pair[0])))]
    found = [
        jackknife(without_each(metric, pair[0], way) - without_each(metric, pair[1], way), value)
        for way in ways
    ]
    return float(np.fmax.reduce(found))


def permutation_p(metric: Metric, first: Array, second: Array, groups: Groups) -> float:
    """Two-sided p of exchanging two runs' statistics `[n, ...]` in whole groups."""
    metric = replace(metric, digits=None)
    if metric.value is mean_of and metric.proportion and (first[:, 0] == second[:, 0]).all():
        gaps = np.abs(groups.sums(first[:, 1] - second[:, 1]))
        exact = exact_p(gaps[gaps > 0].astype(int), int(abs((first - second)[:, 1].sum())))
        if exact is not None:
            return exact
    differ = _differ(first, second)
    if not differ.any():
        return 1.0
    within = Groups(groups.numbers[differ]).merged(_PARTS)
    found = abs(metric.of(first) - metric.of(second))
    every = within.count <= _MOST
    drawn = np.concatenate(
        [
            _exchanged(metric, (first, second), differ, within, flips)
            for flips in _flips(within.count, _DRAWS_WHOLE if metric.whole else _DRAWS)
        ]
    )
    extreme = int((np.nan_to_num(drawn, nan=math.inf) >= found - 1e-12).sum())
    return extreme / len(drawn) if every else (extreme + 1) / (len(drawn) + 1)


def exact_p(gaps: NDArray[np.int64], found: int) -> float | None:
    """How often random signs make the sum of whole `gaps` `[groups]` at least `found` in size.

    None where there are too many to go through.
    """
    from scipy.stats import binomtest

    if not len(gaps) or not found:
        return 1.0
    if (gaps == gaps[0]).all():
        ups = (len(gaps) - found // gaps[0]) // 2
        return float(binomtest(int(ups), len(gaps), 0.5).pvalue)
    if len(gaps) * int(gaps.sum()) > _COST:
        return None
    shares = np.ones(1)  # of the sums −s, −s + 2 … s: a gap moves half of them up by its size
    for gap in gaps:
        lower, upper = (np.pad(shares, sides) for sides in ((0, gap), (gap, 0)))
        shares = (lower + upper) / 2
    sums = 2 * np.arange(len(shares)) - (len(shares) - 1)
    return float(min(1.0, shares[np.abs(sums) >= found].sum()))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's p-values of several tests: adjusted for how many there are; NaN stays out of it."""
    order = sorted((i for i in range(len(p)) if not math.isnan(p[i])), key=lambda i: p[i])
    adjusted, least = list(p), 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, p[i] * (len(order) - rank)))
        adjusted[i] = least
    return adjusted


def _flips(count: int, draws: int) -> Iterator[Array]:
    """Which groups are exchanged, `[draws, count]` at a time: every way, or seeded random ones."""
    if count <= _MOST:
        yield np.array(list(product((0.0, 1.0), repeat=count)))
        return
    generator = np.random.default_rng(0)
    for start in range(0, draws, _CHUNK):
        size = min(_CHUNK, draws - start), count
        yield generator.integers(0, 2, size).astype(np.float64)


def _exchanged(
    metric: Metric, pair: tuple[Array, Array], differ: NDArray[np.bool_], groups: Groups,
    flips: Array,
) -> Array:  # fmt: skip
    """Sizes of the difference after each exchange of `groups` of the samples that differ."""
    first, second = pair
    with np.errstate(invalid="ignore", divide="ignore"):
        if metric.whole:
            found = []
            for flip in flips:
                swapped = np.zeros(len(first), dtype=bool)
                swapped[differ] = flip[groups.numbers] > 0
                mask = swapped.reshape(-1, *[1] * (first.ndim - 1))
                one, other = np.where(mask, second, first), np.where(mask, first, second)
                found.append(abs(metric.of(one) - metric.of(other)))
            return np.array(found)
        gaps = groups.sums((first - second)[differ])
        moved = (flips @ gaps.reshape(len(gaps), -1)).reshape(-1, *gaps.shape[1:])
        totals = first.sum(0) - moved, second.sum(0) + moved
        return np.abs(metric.value(totals[0]) - metric.value(totals[1]))


def _differ(first: Array, second: Array) -> NDArray[np.bool_]:
    return (first != second).any(axis=tuple(range(1, first.ndim)))
