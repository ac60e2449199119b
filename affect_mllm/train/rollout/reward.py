"""What an answer is worth: the interface of rewards, which live in `affect_mllm/rewards`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from affect_mllm.types import Sample

ROWS = 200  # of a stage, by which a constant answer is chosen


class Answered(NamedTuple):
    """An answer as a reward sees it.

    `text` is as evaluation would see it: without what ends the answer. `ended` says that it was not
    cut off at the limit of `tokens`. `truth` are the row's labels.
    """

    id: str
    question: str
    text: str
    ended: bool
    tokens: int
    truth: Mapping[str, Any]


class Reward(ABC):
    """A number from `low` to `high` for an answer, times `weight` a part of its total.

    A pure function of the answer: the same in any order, group and process.
    """

    low, high = 0.0, 1.0

    def __init__(self, *, weight: float = 1.0) -> None:
        self.weight = weight

    @abstractmethod
    def __call__(self, answers: Sequence[Answered]) -> list[float | None]:
        """Each answer's number; None where it cannot be rewarded, which is not the same as 0.

        Raises DataError for a row that lacks what the reward compares with.
        """

    def identity(self) -> str:
        """What decides the numbers beside the settings: the version of a table, say."""
        return ""

    def constant(self, truths: Sequence[Mapping[str, Any]]) -> float | None:
        """What one answer for all of these rows' labels is worth at most; None where unknown."""
        del truths
        return None

    def seen(self, answer: Answered) -> dict[str, float]:
        """Further numbers about an answer, for the log alone; the same names for every answer."""
        return {}


def constants(rewards: Mapping[str, Reward], rows: Sequence[Sample]) -> dict[str, float]:
    """By `NAME/constant` what a policy that never looks can reach, of the rewards that know it.

    Over at most `ROWS` of a stage's rows, evenly spread.
    """
    picked = [rows[n] for n in range(0, len(rows), max(1, -(-len(rows) // ROWS)))]
    truths = [sample.labels for sample in picked]
    found = {f"{name}/constant": reward.constant(truths) for name, reward in rewards.items()}
    return {name: value for name, value in found.items() if value is not None}
