"""What the words of an answer are worth: its form, its length, its label, its cues."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from pydantic import PositiveInt

from affect_mllm.eval.read.policies import POLICIES, extract
from affect_mllm.rewards.reading import labels_of, said, space_of
from affect_mllm.train.rollout.reward import Answered, Reward
from affect_mllm.types import ConfigError


class Label(Reward):
    """1 where the answer is the row's label `truth`, read by the policy of closed benchmarks.

    `labels` are the classes that may be answered, `policy` is how answers are read.
    """

    def __init__(
        self,
        *,
        labels: Sequence[str],
        truth: str = "emotion",
        policy: str = "closed_label_v4",
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight=weight)
        if policy not in POLICIES or POLICIES[policy].gives != "label":
            known = sorted(name for name, each in POLICIES.items() if each.gives == "label")
            raise ConfigError("rewards.policy", policy, expected=f"one of {known}")
        self.labels, self.truth, self.policy = tuple(labels), truth, policy

    def __call__(self, answers: Sequence[Answered]) -> list[float | None]:
        """1 or 0; 0 for several labels, as in evaluation."""
        read = [extract(a.text, space_of(a, self.labels), self.policy).label for a in answers]
        truths = [labels_of(each, self.truth) for each in answers]
        return [float(label in truth) for label, truth in zip(read, truths, strict=True)]


class Format(Reward):
    """1 for `<think>…</think><answer>…</answer>` and nothing else, each once and not empty.

    `tags` in their order; 0 for an answer that was cut off. `where`, if given, is a text in the
    questions that ask for the form: all answers to others have 1, which tells none from another.
    """

    def __init__(
        self,
        *,
        tags: Sequence[str] = ("think", "answer"),
        where: str | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight=weight)
        if not tags or any(not re.fullmatch(r"\w+", tag) for tag in tags):
            raise ConfigError("rewards.tags", f"{list(tags)}", expected="words, as [think, answer]")
        no_tag = f"(?:(?!</?(?:{'|'.join(tags)})>).)*"
        parts = [rf"<{tag}>(?!\s*</{tag}>){no_tag}</{tag}>" for tag in tags]
        self._form, self.where = re.compile(r"\s*".join(["", *parts, ""]), re.DOTALL), where

    def __call__(self, answers: Sequence[Answered]) -> list[float | None]:
        """1 or 0."""
        return [float(self._has(each)) for each in answers]

    def _has(self, answer: Answered) -> bool:
        if self.where is not None and self.where not in answer.question:
            return True
        return answer.ended and bool(self._form.fullmatch(answer.text))


class LabelCount(Reward):
    """1 for `at_least` to `at_most` labels; more fall to 0 at twice as many, fewer are their share.

    A set score alone is not lowered by labels of one class, and is reached by few.
    """

    def __init__(
        self, *, at_most: PositiveInt = 4, at_least: PositiveInt = 1, weight: float = 1.0
    ) -> None:
        super().__init__(weight=weight)
        if at_least > at_most:
            raise ConfigError("rewards.at_least", f"{at_least}", expected=f"at most {at_most}")
        self.at_most, self.at_least = at_most, at_least

    def __call__(self, answers: Sequence[Answered]) -> list[float | None]:
        """Between 0 and 1, the same label counting once."""
        return [self._of(len(set(said(each)))) for each in answers]

    def _of(self, count: int) -> float:
        if count < self.at_least:
            return count / self.at_least
        return min(1.0, max(0.0, 2 - count / self.at_most))


class Length(Reward):
    """1 for an answer of `least` to `most` tokens; outside it falls to 0 over `soft` tokens.

    After DAPO's soft overlong punishment (arXiv 2503.14476 §3.4), 0 to 1 in place of −1 to 0.
    """

    def __init__(
        self,
        *,
        most: PositiveInt,
        least: PositiveInt = 1,
        soft: PositiveInt = 1,
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight=weight)
        if least > most:
            raise ConfigError("rewards.least", f"{least}", expected=f"at most {most}")
        self.most, self.least, self.soft = most, least, soft

    def __call__(self, answers: Sequence[Answered]) -> list[float | None]:
        """Between 0 and 1."""
        off = [max(a.tokens - self.most, self.least - a.tokens, 0) for a in answers]
        return [max(0.0, 1 - each / self.soft) for each in off]


class CueOverlap(Reward):
    """F of the words that an answer shares with its row's cue sentences, commonest words left out.

    Each word as often as it is on both sides (ROUGE-1's F); the sentences of all labels in `truth`
    are taken together. It says little about meaning: give it a small weight.
    """

    def __init__(
        self,
        *,
        truth: Sequence[str] = ("visual_cues", "vocal_cues", "verbal_cues"),
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight=weight)
        self.truth = tuple(truth)

    def __call__(self, answers: Sequence[Answered]) -> list[float | None]:
        """Between 0 and 1; None for a row without cues."""
        return [self._of(each) for each in answers]

    def _of(self, answer: Answered) -> float | None:
        cues = " ".join(str(answer.truth[key]) for key in self.truth if answer.truth.get(key))
        wanted, given = _words(cues), _words(answer.text)
        if not wanted:
            return None
        return 2 * (wanted & given).total() / (wanted.total() + given.total())


_COMMON = frozenset(
    [
        *("a", "an", "the", "and", "or", "of", "in", "on", "to", "is", "are", "was", "were"),
        *("with", "at", "by", "for", "it", "its", "this", "that", "as", "be", "he", "she"),
        *("his", "her", "they", "their", "person", "s", "think", "answer"),
    ]
)


def _words(text: str) -> Counter[str]:
    return Counter(word for word in re.findall(r"\w+", text.lower()) if word not in _COMMON)
