"""Distances between emotion distributions, as used with Emotion6, Flickr_LDL and Twitter_LDL.

The measures of label distribution learning (Geng, Label Distribution Learning, 2016), averaged over
samples. An answer that was not read has each measure's worst value.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from affect_mllm.eval.metrics.base import Array, Metric, Statistic, counted, mean_of, ratio
from affect_mllm.eval.metrics.beside_truth import Read

KINDS = ("distribution",)
FLOOR = 1e-6  # of an answered share: without it one missing label makes the divergence infinite
WORST_DIVERGENCE = -math.log(FLOOR)


def chebyshev(true: Array, given: Array) -> Array:
    """Greatest difference of a share, `[n]`."""
    return np.abs(true - given).max(axis=1)


def canberra(true: Array, given: Array) -> Array:
    """Sum of differences relative to the sum of both shares, `[n]`; 0 against 0 adds none."""
    return _relative(true, given).sum(axis=1)


def clark(true: Array, given: Array) -> Array:
    """Root of the sum of the same, squared, `[n]`."""
    return np.sqrt((_relative(true, given) ** 2).sum(axis=1))


def divergence(true: Array, given: Array) -> Array:
    """Kullback-Leibler divergence of the truth from the answer, `[n]`, in nats."""
    from scipy.special import rel_entr

    return rel_entr(true, np.maximum(given, FLOOR)).sum(axis=1)


def cosine(true: Array, given: Array) -> Array:
    """Cosine of the angle between the two, `[n]`."""
    lengths = np.linalg.norm(true, axis=1) * np.linalg.norm(given, axis=1)
    return ratio((true * given).sum(axis=1), lengths)


def intersection(true: Array, given: Array) -> Array:
    """What both have in common, `[n]`."""
    return np.minimum(true, given).sum(axis=1)


def measured(of: Callable[[Array, Array], Array], worst: Callable[[int], float]) -> Statistic:
    """A statistic `[n, 2]`: one, and the measure; `worst` of the number of labels if unread."""

    def statistic(read: Read) -> Array:
        true, given = read.shares
        seen = ~np.isnan(given).any(axis=1)
        found = np.full(len(read), worst(len(read.labels)))
        found[seen] = of(true[seen], given[seen])
        return counted(found)

    return statistic


def _relative(true: Array, given: Array) -> Array:
    gap, total = np.abs(true - given), true + given
    return np.divide(gap, total, out=np.zeros_like(gap), where=total > 0)


def _distance(of: Callable[[Array, Array], Array], worst: float) -> Metric:
    statistic = measured(of, lambda _: worst)
    return Metric(statistic, mean_of, KINDS, best=0.0, worst=worst, scale="error")


def _labelled(of: Callable[[Array, Array], Array], worst: Callable[[int], float]) -> Metric:
    """A distance whose worst value depends on the number of labels."""
    return Metric(
        measured(of, worst), mean_of, KINDS, best=0.0, worst=None, scale="error",
        reach=lambda read: worst(len(read.labels)),
    )  # fmt: skip


def _likeness(of: Callable[[Array, Array], Array]) -> Metric:
    return Metric(measured(of, lambda _: 0.0), mean_of, KINDS)


METRICS: dict[str, Metric] = {
    "chebyshev": _distance(chebyshev, 1.0),
    "canberra": _labelled(canberra, float),
    "clark": _labelled(clark, math.sqrt),
    "kl_divergence": _distance(divergence, WORST_DIVERGENCE),
    "cosine": _likeness(cosine),
    "intersection": _likeness(intersection),
}
