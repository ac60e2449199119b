"""Emotion words against a row's, by the classes of emotion wheels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from affect_mllm.eval.emotion_wheel.own import own_tables
from affect_mllm.eval.emotion_wheel.published import read_tables
from affect_mllm.eval.emotion_wheel.score import pair_f1
from affect_mllm.rewards.reading import labels_of, said
from affect_mllm.train.rollout.reward import Answered, Reward

COMMON = 50  # labels, among which a constant answer is looked for
LEVELS = {"two_levels": ("level1", "level2")}


class WheelF1(Reward):
    """The mean over wheels of F of one answer's labels: 0 to 1 (`emotion_wheel.score.pair_f1`).

    The metric is F of precision and recall that are averaged over samples; this is the mean of F,
    so that more of one is nearly, not quite, more of the other. `level` is the wheels' first, as
    the benchmarks have it, the second, the mean of both, or `all` maps, in which words of one
    family differ. `truth` names the row's label, a word or a list; `tables` is a folder of
    published tables, without which ours are taken. An answer that cannot be read has 0.
    """

    def __init__(
        self,
        *,
        level: Literal["level1", "level2", "two_levels", "all"] = "level1",
        truth: str = "emotions",
        tables: str | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight=weight)
        self.levels, self.truth = LEVELS.get(level, (level,)), truth
        self.tables = own_tables() if tables is None else read_tables(Path(tables))

    def __call__(self, answers: Sequence[Answered]) -> list[float | None]:
        """Each answer's F."""
        return [self.score(labels_of(each, self.truth), said(each)) for each in answers]

    def score(self, truth: Sequence[str], labels: Sequence[str]) -> float:
        """F of these labels; 0 without any."""
        found = [pair_f1(truth, labels, self.tables, level) for level in self.levels]
        return sum(found) / len(found)

    def identity(self) -> str:
        """Which tables."""
        return f"{self.tables.name} {self.tables.version}"

    def constant(self, truths: Sequence[Mapping[str, Any]]) -> float | None:
        """Of at most four of the labels that are commonest in these rows."""
        own = [truth.get(self.truth) for truth in truths]
        lists = [[each] if isinstance(each, str) else [*map(str, each)]
                 for each in own if each and isinstance(each, str | list | tuple)]  # fmt: skip
        common = Counter(word for each in lists for word in each).most_common(COMMON)
        return best_constant(self, lists, [word for word, _ in common])[1] if lists else None

    def seen(self, answer: Answered) -> dict[str, float]:
        """How many labels it has."""
        return {"labels": float(len(said(answer)))}


def best_constant(
    reward: WheelF1, truths: Sequence[Sequence[str]], words: Sequence[str], *, most: int = 4
) -> tuple[tuple[str, ...], float]:
    """The answer of at most so many `words` that is worth most if every row is given it.

    Found word by word, each time the one that adds most: what a policy can reach without looking.
    """

    def worth(labels: tuple[str, ...]) -> float:
        return sum(reward.score(each, labels) for each in truths) / max(1, len(truths))

    best, grown = ((), 0.0), ()
    for _ in range(min(most, len(words))):
        grown = max(((*grown, word) for word in words if word not in grown), key=worth)
        best = max(best, (grown, worth(grown)), key=lambda pair: pair[1])
    return best
