"""95 % intervals of every metric, from the groups that its samples come in.

The variance is that of a delete-a-group jackknife, the quantile Student's with as many degrees of
freedom as there are groups of one size (Kish), less one. A share gets Wilson's interval with that
quantile on its effective sample size, `p (1 − p) / variance` (Korn and Graubard 1998 do so with
Clopper and Pearson's); a correlation is transformed by Fisher's z, a coefficient of determination
by log(1 − r²). Errors are taken as shares of the greatest error, with half the degrees of freedom:
their variance is itself uncertain, as few groups have most of it; the upper end makes room for
their skewness, too. Where nothing varies, such as
when every answer is right, each group counts as one sample: Wilson's bound on the share of groups
that could differ. From one group nothing can be said, and no interval is. The coverage of all this
is simulated in `tests/eval/metrics/simulation.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affect_mllm.eval.metrics.base import Array, Metric, counts
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.metrics.groups import Groups, variance, without_each

NONE = math.nan
ONE_GROUP, UNDEFINED = "none: one group", "none: undefined"
_DRAWS = 2000
_FLAT = 1e-20  # a variance so small, as a share of the scale squared, is rounding


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval, the method's name, and how many samples count.

    `se` is the standard error and `df` its degrees of freedom. A number that there is none of is
    NaN: the value where a formula gives none, the interval where there is only one group.
    """

    value: float
    ci_low: float
    ci_high: float
    method: str
    n: int
    se: float = NONE
    df: float = NONE


def measure(
    read: Read, metrics: Mapping[str, Metric], groups: Sequence[str]
) -> dict[str, Interval]:
    """Value and interval of each metric over `read`, whose samples belong to `groups`."""
    numbered = Groups.named(groups)
    found = {}
    for name, metric in metrics.items():
        rows = read.statistic(metric.statistic)
        found[name] = interval(metric, rows, numbered, metric.worst_of(read))
    return found


def share_of(hits: Sequence[bool] | NDArray[np.bool_], groups: Sequence[str]) -> dict[str, Any]:
    """A share of hits with its interval and n, as results have it."""
    from affect_mllm.eval.metrics.base import counted, mean_of

    rows = counted(np.asarray(hits, dtype=np.float64))
    metric = Metric(lambda _: rows, mean_of, (), proportion=True)
    found = interval(metric, rows, Groups.named(groups), 0.0)
    return {
        "value": none_of(found.value),
        "ci_low": none_of(found.ci_low),
        "ci_high": none_of(found.ci_high),
        "n": found.n,
    }


def none_of(number: float) -> float | None:
    """`number`, None where it is none."""
    return None if math.isnan(number) else number


def interval(metric: Metric, rows: Array, groups: Groups, worst: float) -> Interval:
    """The value of a statistic `[n, ...]` and its interval; `worst` is the scale's other end."""
    used = counts(rows)
    n = int(used.sum())
    if n < len(rows):
        rows, groups = rows[used], groups.take(used)
    value = metric.of(rows) if n else NONE
    if math.isnan(value):
        return Interval(value, NONE, NONE, UNDEFINED, n)
    if groups.count < 2:
        return Interval(value, NONE, NONE, ONE_GROUP, n)
    df = max(groups.effective - 1, 1.0)
    if metric.proportion and groups.single:
        low, high = wilson(value, n, quantile(math.inf))
        se = math.sqrt(value * (1 - value) / n) or _half(low, high)
        return Interval(value, low, high, "wilson", n, se, df)
    spread = variance(metric, rows, groups)
    if math.isnan(spread):
        return Interval(value, NONE, NONE, UNDEFINED, n)
    se = math.sqrt(spread)
    if metric.parts is not None:
        low, high = _sum_of_parts(metric, rows, groups, value)
        return Interval(value, max(low, 0.0), min(high, worst), "sum of parts", n, se, df)
    ends = scaled_ends(metric, value, spread, df, worst)
    if ends is None:
        low, high = _border(value, groups.effective, metric.best, worst)
        return Interval(value, low, high, "border", n, se or _half(low, high), df)
    low, high = ends
    if metric.scale == "error":
        high = min(max(high, value + se * _tail(metric, rows, groups, quantile(df / 2))), worst)
    return Interval(value, low, high, _METHODS[metric.scale], n, se, df)


def _tail(metric: Metric, rows: Array, groups: Groups, critical: float) -> float:
    """How many standard errors an error may be higher, seeing that some groups are far above.

    Hall's (1992) transformation of Student's t by the skewness of the groups' influences.
    """
    influence = -without_each(metric, rows, groups)
    influence = influence - influence.mean()
    size = float((influence**2).mean())
    skew = float((influence**3).mean()) / max(size, 1e-300) ** 1.5 / math.sqrt(len(influence))
    if skew < 1e-6:
        return 0.0
    return float(1 - np.cbrt(1 - skew * (critical + skew / 6))) * 3 / skew


def scaled_ends(
    metric: Metric, value: float, spread: float, df: float, worst: float
) -> tuple[float, float] | None:
    """The ends on the metric's scale; None where the value is at its border or nothing varies."""
    span = metric.best - worst
    place = (value - worst) / span if metric.scale in ("share", "error") else value
    least = 0.0 if metric.scale in ("share", "error") else -1.0
    bounded = metric.scale != "determination"
    if spread <= _FLAT * span**2 or place >= 1 or (bounded and place <= least):
        return None
    if metric.scale == "correlation":
        z, reach = math.atanh(value), quantile(df) * math.sqrt(spread) / (1 - value**2)
        return math.tanh(z - reach), math.tanh(z + reach)
    if metric.scale == "determination":
        reach = quantile(df) * math.sqrt(spread) / (1 - value)
        return 1 - (1 - value) * math.exp(reach), 1 - (1 - value) * math.exp(-reach)
    size = place * (1 - place) * span**2 / spread
    critical = quantile(df / 2 if metric.scale == "error" else df)
    first, last = (worst + span * end for end in wilson(place, size, critical))
    return min(first, last), max(first, last)


_METHODS = {
    "share": "wilson, effective n",
    "error": "wilson, effective n",
    "correlation": "t of fisher's z",
    "determination": "t of log(1 - r2)",
}


def quantile(df: float) -> float:
    """The 97.5 % quantile of Student's distribution with `df` ≥ 1 degrees of freedom."""
    from scipy.special import ndtri, stdtrit

    return float(ndtri(0.975) if math.isinf(df) else stdtrit(max(df, 1.0), 0.975))


def wilson(share: float, n: float, critical: float) -> tuple[float, float]:
    """Wilson's interval of a share of `n` samples, by the normal's or another `critical` value."""
    square = critical**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    reach = critical / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    low, high = max(middle - reach, 0.0), min(middle + reach, 1.0)
    return (0.0 if share <= 0 else low), (1.0 if share >= 1 else high)  # but for rounding


def unseen_share(groups: float) -> float:
    """Of how many groups at most something holds that none of `groups` shows (Wilson's bound)."""
    square = quantile(math.inf) ** 2
    return square / (groups + square)


def _half(low: float, high: float) -> float:
    """What stands for a standard error where nothing varies: as much as the interval allows."""
    return (high - low) / 2 / quantile(math.inf)


def _border(value: float, groups: float, best: float, worst: float) -> tuple[float, float]:
    """As if the share of groups that could differ unseen were at either end of the scale."""
    share = unseen_share(groups)
    ends = [value + share * (end - value) for end in (best, worst)]
    return min(*ends, value), max(*ends, value)


def _sum_of_parts(metric: Metric, rows: Array, groups: Groups, value: float) -> tuple[float, float]:
    """Of a sum of absolute parts: no further from it than their errors' absolute values sum to.

    That holds by the triangle inequality whatever the true parts are, where a bootstrap of the sum
    is biased: random gaps never cancel. The errors are drawn as normal from the groups' influence.
    """
    assert metric.parts is not None
    merged = groups.merged(1000)
    parts = Metric(metric.statistic, metric.parts, metric.kinds)
    influence = without_each(parts, rows, merged)
    influence = influence - influence.mean(0)
    normal = np.random.default_rng(0).standard_normal((_DRAWS, merged.count))
    error = np.abs(normal @ influence * math.sqrt((merged.count - 1) / merged.count)).sum(-1)
    widen = quantile(max(groups.effective - 1, 1.0)) / quantile(math.inf)
    reach = float(np.quantile(error, 0.95)) * widen
    return value - reach, value + reach
