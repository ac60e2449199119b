"""Groups of samples that depend on each other: their sums, and values without each of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from affect_mllm.eval.metrics.base import Array, Metric

_CHUNK = 4096  # groups left out at a time
_WHOLE = 200  # parts of the data that a metric of whole rows is computed without, one at a time


class Groups:
    """The groups of some samples, numbered in the order of their names."""

    def __init__(self, numbers: NDArray[np.int64]) -> None:
        _, self.numbers, self.sizes = np.unique(numbers, return_inverse=True, return_counts=True)
        self.count = len(self.sizes)
        self.single = self.count == len(numbers)
        self._summed: tuple[Array, Array] | None = None

    @classmethod
    def named(cls, names: Sequence[str]) -> Groups:
        """Groups by the name of each sample's."""
        place = {name: number for number, name in enumerate(sorted(set(names)))}
        return cls(np.array([place[name] for name in names], dtype=np.int64))

    @property
    def effective(self) -> float:
        """As how many groups of one size they count: fewer, the more their sizes differ (Kish)."""
        return float(self.sizes.sum() ** 2 / (self.sizes**2).sum()) if self.count else 0.0

    def take(self, used: NDArray[np.bool_]) -> Groups:
        """The groups of some of the samples."""
        return self if used.all() else Groups(self.numbers[used])

    def merged(self, most: int) -> Groups:
        """At most `most` groups: neighbours by name become one."""
        return self if self.count <= most else Groups(self.numbers * most // self.count)

    def sums(self, rows: Array) -> Array:
        """The sum of `rows` `[n, ...]` of each group, `[groups, ...]`; the last ones are kept."""
        if self._summed is None or self._summed[0] is not rows:
            starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
            ordered = rows[self._order]
            summed = ordered if self.single else np.add.reduceat(ordered, starts, axis=0)
            self._summed = rows, summed
        return self._summed[1]

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return np.argsort(self.numbers, kind="stable")


def without_each(metric: Metric, rows: Array, groups: Groups) -> Array:
    """The metric's values without each group, or each of 200 parts for one of whole rows."""
    with np.errstate(invalid="ignore", divide="ignore"):
        if metric.whole:
            parts = groups.merged(_WHOLE)
            return np.array([metric.of(rows[parts.numbers != i]) for i in range(parts.count)])
        sums = groups.sums(rows)
        total = sums.sum(0)
        found = [
            np.asarray(metric.value(total - sums[start : start + _CHUNK]))
            for start in range(0, len(sums), _CHUNK)
        ]
    return np.concatenate(found)


def jackknife(without: Array, value: float) -> float:
    """The variance of `value` from the values without each group (delete-a-group jackknife).

    Values that are none without a group are left out; NaN if fewer than two are left.
    """
    known = without[~np.isnan(without)]
    if len(known) < 2:
        return float("nan")
    return float((len(known) - 1) / len(known) * ((known - value) ** 2).sum())


def variance(metric: Metric, rows: Array, groups: Groups) -> float:
    """The metric's variance between groups, but never less than between single samples.

    Few groups say little about how alike their samples are: they may look more different inside a
    group than across by chance.
    """
    value = _unrounded(metric, rows)
    between = jackknife(without_each(metric, rows, groups), value)
    if groups.single or metric.whole:
        return between
    alone = Groups(np.arange(len(rows)))
    return float(np.fmax(between, jackknife(without_each(metric, rows, alone), value)))


def _unrounded(metric: Metric, rows: Array) -> float:
    return float(metric.value(rows if metric.whole else rows.sum(0)))
