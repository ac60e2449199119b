"""Standard errors, power and stability of scores over samples, groups and repeated runs."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from affect_mllm.eval.metrics.groups import Groups
from affect_mllm.eval.metrics.intervals import quantile

Scores = Sequence[float]


@dataclass(frozen=True)
class PairedT:
    """A paired t-test of first minus second, with its 95 % interval."""

    mean_diff: float
    se_diff: float
    ci_lower: float
    ci_upper: float
    t_stat: float
    p_value: float
    n: int


@dataclass(frozen=True)
class Stability:
    """Of k runs over the same samples: the mean score, the share of samples that most runs have
    right, the mean variance within a sample (unbiased), and the share on which all runs agree."""

    expected: float
    consensus: float
    variance: float
    agreement: float


@dataclass(frozen=True)
class Design:
    """Two runs compared on the same samples: their standard deviations and correlation.

    `alpha` is the two-sided level, `power` what is asked for.
    """

    std_a: float = 0.5
    std_b: float = 0.5
    correlation: float = 0.5
    alpha: float = 0.05
    power: float = 0.8

    @property
    def variance(self) -> float:
        """Variance of one sample's difference."""
        shared = 2 * self.correlation * self.std_a * self.std_b
        return self.std_a**2 + self.std_b**2 - shared

    def samples_needed(self, effect: float) -> int:
        """The fewest samples that show a mean difference of `effect`."""
        return math.ceil(self.variance * ((self._critical + self._reach) / effect) ** 2)

    def detectable(self, n: float) -> float:
        """The least mean difference that `n` samples show."""
        return (self._critical + self._reach) * math.sqrt(self.variance / n)

    @property
    def _critical(self) -> float:
        from scipy.special import ndtri  # scipy.stats takes a second to import

        return float(ndtri(1 - self.alpha / 2))

    @property
    def _reach(self) -> float:
        from scipy.special import ndtri

        return float(ndtri(self.power))


def compared(
    first: Scores, second: Scores, clusters: Sequence[str]
) -> dict[str, dict[str, float] | float | None]:
    """What two runs over the same samples show, and could show, by scores of 0 to 1 a sample.

    `se` is the clustered standard error of the mean difference (with G/(G − 1) for G groups),
    `detectable` the least difference that as many samples show (two-sided 5 %, power 80 %,
    clusters counted as the fewer independent samples that they are worth, few of them by Student's
    quantile), `needed` how many independent samples show the difference found, `t_test` the paired
    t-test, which takes samples as independent: None where they are not. All are None where the
    runs differ nowhere or everywhere alike, or there is one group.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    gaps: Any = a - b
    groups = Groups.named(clusters)
    if groups.count < 2 or np.ptp(gaps) == 0:
        return dict.fromkeys(("se", "detectable", "needed", "t_test"))
    stds = float(a.std(ddof=1)), float(b.std(ddof=1))
    shared = float(np.corrcoef(a, b)[0, 1]) if min(stds) > 0 else 0.0
    design, se = Design(*stds, correlation=shared), clustered_standard_error(gaps, clusters)
    se *= 1 if groups.single else math.sqrt(groups.count / (groups.count - 1))
    few = quantile(groups.effective - 1) / quantile(math.inf)
    effect = abs(float(gaps.mean()))
    return {
        "se": se,
        "detectable": few * design.detectable(design.variance / se**2) if se > 0 else None,
        "needed": design.samples_needed(effect) if effect > 0 else None,
        "t_test": asdict(paired_t(a.tolist(), b.tolist())) if groups.single else None,
    }


def standard_error(scores: Scores) -> float:
    """Of the mean of independent scores, by the unbiased variance."""
    return float(np.std(scores, ddof=1) / math.sqrt(len(scores)))


def clustered_standard_error(scores: Scores, clusters: Sequence[Hashable]) -> float:
    """Of the mean of scores that depend on each other within a cluster.

    Miller, Adding Error Bars to Evals (2024), equation 4: to the squared standard error of
    independent scores come the products of different scores of one cluster, over n².
    """
    gaps = np.asarray(scores, dtype=np.float64) - np.mean(scores)
    sums: dict[Hashable, float] = {}
    for cluster, gap in zip(clusters, gaps, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + float(gap)
    products = sum(total**2 for total in sums.values()) - float((gaps**2).sum())
    return math.sqrt(max(standard_error(scores) ** 2 + products / len(gaps) ** 2, 0.0))


def pooled_standard_error(errors: Scores, sizes: Sequence[int]) -> float:
    """Of the size-weighted mean of parts, from each part's error (pooled sample variance).

    At least one part has several samples.
    """
    pooled = sum((n - 1) * error**2 * n for error, n in zip(errors, sizes, strict=True))
    return math.sqrt(pooled / (sum(sizes) - len(sizes)) / sum(sizes))


def mean_of_parts(values: Scores, sizes: Sequence[int], *, weighted: bool) -> float:
    """The mean over parts, weighted by their sizes or not."""
    return float(np.average(values, weights=sizes if weighted else None))


def paired_t(first: Scores, second: Scores) -> PairedT:
    """Paired t-test of two runs over the same samples, in the same order."""
    from scipy.stats import ttest_rel

    found = ttest_rel(first, second)
    interval = found.confidence_interval(0.95)
    gaps = np.asarray(first) - np.asarray(second)
    return PairedT(
        float(gaps.mean()),
        standard_error(gaps.tolist()),
        float(interval.low),
        float(interval.high),
        float(found.statistic),
        float(found.pvalue),
        len(gaps),
    )


def stability(scores: Sequence[Scores]) -> Stability:
    """Of `scores` `[n, k]`: k runs over n samples, right being 1."""
    table = np.asarray(scores, dtype=np.float64)
    return Stability(
        float(table.mean()),
        float((table.mean(axis=1) > 0.5).mean()),
        float(table.var(axis=1, ddof=1).mean()) if table.shape[1] > 1 else 0.0,
        float((table == table[:, :1]).all(axis=1).mean()),
    )
