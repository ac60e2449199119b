"""Open-vocabulary metrics on emotion-wheel tables: EW precision, recall and F, hit rate, M-avg.

The formulas are those of `emotion_wheel/score.py`. With our own tables every label has a place, so
every sample counts; with published ones a sample whose truth has none is left out of that wheel,
as their authors do. The `ew_known_*` leave out, on either side, labels without a family in a wheel,
and samples whose truth has no other.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from affect_mllm.eval.emotion_wheel import score
from affect_mllm.eval.metrics.base import Array, Metric, Statistic, ratio
from affect_mllm.eval.metrics.beside_truth import Read

KINDS = ("open_vocabulary",)


def overlaps(level: str, *, known: bool = False) -> Statistic:
    """A statistic `[n, maps, 3]`: whether the sample counts in a map, its precision and recall.

    With `known` of the labels that have a family in the map alone.
    """

    def statistic(read: Read) -> Array:
        places = read.tables.places(level)
        found = np.zeros((len(read), len(places), 3))
        for row, (truth, answer) in enumerate(zip(read.truth, read.answers, strict=True)):
            pair = _labels(truth), _labels(answer)
            parts = score.overlaps(*pair, read.tables, places, known=known)
            for place, part in enumerate(parts):
                if part is not None:
                    found[row, place] = 1.0, *part
        return found

    return statistic


def hits(read: Read) -> Array:
    """`[n, wheels, 2]`: whether the sample counts in a wheel, and whether it is a hit.

    It is one where any answered label shares the class of any true one.
    """
    found = read.statistic(_LEVEL1)
    return np.stack([found[..., 0], (found[..., 2] > 0).astype(np.float64)], axis=-1)


def mean_ratio(sums: Array) -> Array:
    """The mean over wheels of a share `[..., wheels, 2]`."""
    return ratio(sums[..., 1], sums[..., 0]).mean(-1)


def part(index: int) -> Callable[[Array], Array]:
    """Mean over maps of the mean precision (1) or recall (2) of `[..., maps, 3]`."""
    return lambda sums: ratio(sums[..., index], sums[..., 0]).mean(-1)


def mean_f1(sums: Array) -> Array:
    """F of the mean precision and recall of each map, then the mean over maps."""
    precision = ratio(sums[..., 1], sums[..., 0])
    recall = ratio(sums[..., 2], sums[..., 0])
    return ratio(2 * precision * recall, precision + recall).mean(-1)


def two_level_f1(sums: Array) -> Array:
    """The mean of the level-1 and the level-2 mean F (MER2025 track 2); maps as in `_wheels`."""
    return (mean_f1(sums[..., 0::2, :]) + mean_f1(sums[..., 1::2, :])) / 2


def _wheels(read: Read) -> Array:
    """Overlaps of the wheels alone: level 1 and level 2 of each, in turn."""
    return read.statistic(_ALL)[:, 2:]


def _labels(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, tuple | list) else ()


_LEVEL1 = overlaps("level1")
_KNOWN = overlaps("level1", known=True)
_ALL = overlaps("all")

METRICS: dict[str, Metric] = {
    "hit_rate": Metric(hits, mean_ratio, KINDS),
    "ew_f1": Metric(_LEVEL1, mean_f1, KINDS),
    "ew_precision": Metric(_LEVEL1, part(1), KINDS),
    "ew_recall": Metric(_LEVEL1, part(2), KINDS),
    "ew_known_f1": Metric(_KNOWN, mean_f1, KINDS),
    "ew_known_precision": Metric(_KNOWN, part(1), KINDS),
    "ew_known_recall": Metric(_KNOWN, part(2), KINDS),
    "ew_two_level_f1": Metric(_wheels, two_level_f1, KINDS),
    "m_avg": Metric(_ALL, mean_f1, KINDS),
}
