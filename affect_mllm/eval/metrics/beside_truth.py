"""The answers of one run side by side with the truth: what every metric is computed from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affect_mllm.eval.emotion_wheel import own, score
from affect_mllm.eval.emotion_wheel.tables import WheelTables
from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.read.base import Answer
from affect_mllm.types import Sample

Array = NDArray[np.float64]
_NEAR = 0.1  # of the scale: a number counts as right in a list of examples


KEPT_A_ROW = 2048  # bytes of a statistic
_TOGETHER: set[Callable[[Read], Array]] = set()


def together(of: Callable[[Read], Array]) -> Callable[[Read], Array]:
    """A statistic that depends on the other rows of a row's group, not on the row alone."""
    _TOGETHER.add(of)
    return of


def is_together(of: Callable[[Read], Array]) -> bool:
    """Whether a statistic has to be computed from whole groups."""
    return of in _TOGETHER


@dataclass(frozen=True)
class Read:
    """A task's samples in order of id, the truth and the answer read for each.

    `truth[i]` and `answers[i]` are a label, labels, a number or shares as the task's kind has it;
    the answer is None where nothing was read. `status[i]` is a parse status or "missing" (no
    prediction). `verdicts[i]` holds a judge's scores by name as fractions of their range; None
    where the judge gave none. `graded` is a statistic `[n, 2]` by whose values answers are
    right, in a task of texts.
    """

    samples: list[Sample]
    predictions: list[Prediction | None]
    truth: list[Any]
    answers: list[Answer]
    status: list[str]
    labels: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0
    tables: WheelTables = field(default_factory=own.own_tables)
    verdicts: list[Mapping[str, float] | None] = field(default_factory=list)
    graded: Callable[[Read], Array] | None = None
    _known: dict[Callable[[Read], Array], Array] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _clusters: dict[str, list[str]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: Sequence[int]) -> Read:
        """The same for some of the rows; what is known of each row is not computed again."""
        part = Read(
            [self.samples[i] for i in rows],
            [self.predictions[i] for i in rows],
            [self.truth[i] for i in rows],
            [self.answers[i] for i in rows],
            [self.status[i] for i in rows],
            self.labels,
            self.low,
            self.high,
            self.tables,
            [self.verdicts[i] for i in rows] if self.verdicts else [],
            self.graded,
        )
        part._clusters.update({k: [names[i] for i in rows] for k, names in self._clusters.items()})
        alone = (item for item in self._known.items() if not is_together(item[0]))
        part._known.update({of: found[list(rows)] for of, found in alone})
        return part

    def statistic(self, of: Callable[[Read], Array]) -> Array:
        """The statistic `[n, ...]`, computed once: a row's is the same in any company.

        One that is wide (a confusion of many labels) is computed each time: several hundred MB of
        it would live as long as the answers do.
        """
        if of in self._known:
            return self._known[of]
        found = of(self)
        if found.nbytes <= KEPT_A_ROW * len(self):
            self._known[of] = found
        return found

    def clusters(self, key: str) -> list[str]:
        """The cluster of each sample by its `key`: one that names none is a cluster of its own."""
        if key not in self._clusters:
            found = [getattr(sample, key) for sample in self.samples]
            self._clusters[key] = [
                f"\0{sample.id}" if group is None else str(group)
                for sample, group in zip(self.samples, found, strict=True)
            ]
        return self._clusters[key]

    @cached_property
    def classes(self) -> NDArray[np.int64]:
        """`[2, n]`: class numbers of the truth and of the answers, K for an answer outside."""
        number = {label: i for i, label in enumerate(self.labels)}
        truth = [number[each] for each in self.truth]
        answers = [number.get(each, len(number)) for each in self.answers]  # type: ignore[arg-type]
        return np.array([truth, answers], dtype=np.int64)

    @cached_property
    def occurring(self) -> set[str]:
        """The listed labels that are true of any sample."""
        true = (each if isinstance(each, tuple) else (each,) for each in self.truth)
        return {label for labels in true for label in labels} & set(self.labels)

    @cached_property
    def indicators(self) -> NDArray[np.bool_]:
        """`[2, n, K]`: which labels the truth and the answers have."""
        sides: tuple[list[Any], list[Any]] = (self.truth, self.answers)
        rows = [[self._has(each) for each in side] for side in sides]
        return np.array(rows, dtype=bool).reshape(2, len(self), len(self.labels))

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """`[2, n, K]`: each label's share in the truth and the answers, NaN if it was not read."""
        sides: tuple[list[Any], list[Any]] = (self.truth, self.answers)
        rows = [[self._share(each) for each in side] for side in sides]
        return np.array(rows, dtype=np.float64).reshape(2, len(self), len(self.labels))

    def _share(self, shares: Mapping[str, float] | None) -> list[float]:
        return [np.nan if shares is None else shares[label] for label in self.labels]

    def _has(self, labels: Sequence[str] | None) -> list[bool]:
        return [label in (labels or ()) for label in self.labels]

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """`[2, n]`: the truth and the answers, NaN for one that was not read."""
        answers = [np.nan if each is None else each for each in self.answers]
        return np.array([self.truth, answers], dtype=np.float64).reshape(2, len(self))

    @cached_property
    def unparsed(self) -> int:
        """How many samples have no answer that could be read."""
        return sum(status != "ok" for status in self.status)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """`[n]`: whether an answer may be called right, for counting pairs and showing examples.

        Equal labels or texts; for open labels any shared class in the first wheel; for numbers
        within a tenth of the scale; for shares the greatest one; for judged answers a mean verdict
        of a half or more; what is `graded` by a score of a half or more.
        """
        if self.graded is not None:
            return np.asarray(self.statistic(self.graded)[:, 1] >= 0.5)
        if self.verdicts:
            means = [np.mean([*(each or {"": 0.0}).values()]) for each in self.verdicts]
            return np.asarray(means) >= 0.5
        if self.truth and all(isinstance(each, str) for each in self.truth) and self.labels:
            return np.array([t == a for t, a in zip(self.truth, self.answers, strict=True)])
        maps = self.tables.places("level1")[:1]
        pairs = zip(self.truth, self.answers, strict=True)
        return np.array([self._is_right(truth, answer, maps) for truth, answer in pairs])

    def _is_right(self, truth: Any, answer: Answer, maps: Sequence[int]) -> bool:
        if answer is None:
            return False
        if isinstance(answer, float) and not isinstance(truth, str):
            return abs(answer - truth) <= _NEAR * (self.high - self.low)
        if isinstance(answer, tuple) and not self.labels:
            wanted = (truth,) if isinstance(truth, str) else truth
            found = score.overlaps(wanted, answer, self.tables, maps)[0]
            return found is not None and found[0] > 0
        if isinstance(answer, dict) and not isinstance(truth, str):
            return _greatest(answer) == _greatest(truth)
        return set(answer) == set(truth) if isinstance(answer, tuple) else answer == truth


def _greatest(shares: Mapping[str, float]) -> str:
    return max(shares, key=lambda label: shares[label])
