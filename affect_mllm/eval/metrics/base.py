"""A metric as a function of summed statistics of samples.

Every metric has a statistic `[n, ...]` of each sample and a value that depends on the sum of these
alone (a few, such as rank correlations, on all of the rows). Whole groups can therefore be left out
or exchanged by their sums: `intervals.py` and `compare.py` serve every metric alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from affect_mllm.eval.metrics.beside_truth import Read

Array = NDArray[np.float64]
Statistic = Callable[[Read], Array]
Scale = Literal["share", "error", "correlation", "determination"]


@dataclass(frozen=True)
class Metric:
    """`value` of the sum of `statistic` `[n, ...]` over samples; `[..., S]` gives `[...]`.

    A statistic that is all zero leaves its sample out. `best` is what right answers reach, `worst`
    what answers reach that cannot be read, None where that depends on the task and `reach` gives it
    (the width of its scale, its number of labels). `kinds` are the kinds of task that have it.
    `scale` says on what its interval is made: shares of 0 to 1, errors from 0 up, correlations, or
    a coefficient of determination. A `proportion` is a share of right answers. Where `parts` is
    given, the value is the sum of their absolute values, such as the gaps of calibration. A `whole`
    metric is a value of the rows `[n, S]` themselves, the first column being whether a row counts.
    A publisher's value is rounded to `digits`. `over_list`: a mean over all listed classes, of
    which one that never occurs counts as 0. `neutral`: it describes answers, and
    neither end of it is better.
    """

    statistic: Statistic
    value: Callable[[Array], Array]
    kinds: tuple[str, ...]
    best: float = 1.0
    worst: float | None = 0.0
    proportion: bool = False
    scale: Scale = "share"
    reach: Callable[[Read], float] | None = None
    parts: Callable[[Array], Array] | None = None
    whole: bool = False
    digits: int | None = None
    over_list: bool = False
    neutral: bool = False

    def of(self, rows: Array) -> float:
        """The value of a statistic `[n, ...]`, as it is reported; NaN where there is none."""
        with np.errstate(invalid="ignore"):
            found = float(self.value(rows if self.whole else rows.sum(0)))
        return found if self.digits is None else float(np.round(found, self.digits))

    def worst_of(self, read: Read) -> float:
        """What answers that cannot be read reach on the task of `read`."""
        return self.reach(read) if self.reach is not None else self.worst or 0.0


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


def counts(rows: Array) -> NDArray[np.bool_]:
    """Which samples of a statistic `[n, ...]` count, `[n]`."""
    return np.asarray(rows.any(axis=tuple(range(1, rows.ndim))))
