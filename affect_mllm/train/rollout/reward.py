"""What an answer is worth: the interface of rewards, which live in `affect_mllm/rewards`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


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

    def seen(self, answer: Answered) -> dict[str, float]:
        """Further numbers about an answer, for the log alone; the same names for every answer."""
        return {}
