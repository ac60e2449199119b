"""Rewards of one's own, which a run takes by `plugins=[tests]`: cheap, and never tied for long."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from affect_mllm.train.rollout.reward import Answered, Reward


class Vowels(Reward):
    """The share of vowels among an answer's letters."""

    def __call__(self, answers: Sequence[Answered]) -> list[float | None]:
        """Between 0 and 1."""
        letters = ["".join(filter(str.isalpha, each.text.lower())) for each in answers]
        return [sum(c in "aeiou" for c in text) / max(1, len(text)) for text in letters]


class Constant(Reward):
    """The same for every answer."""

    def __call__(self, answers: Sequence[Answered]) -> list[float | None]:
        """A half."""
        return [0.5] * len(answers)


class Shuffled(Vowels):
    """Vowels', dealt to the answers of a group anew: there is nothing to learn."""

    def __call__(self, answers: Sequence[Answered]) -> list[float | None]:
        """Between 0 and 1; a function of the group alone."""
        given = super().__call__(answers)
        told = "".join(each.text for each in answers)
        keys = [hashlib.sha256(f"{told}{n}".encode()).digest() for n in range(len(answers))]
        return [given[n] for n in sorted(range(len(answers)), key=keys.__getitem__)]


class Sometimes(Vowels):
    """None for an answer without any vowel."""

    def __call__(self, answers: Sequence[Answered]) -> list[float | None]:
        """Above 0, or None."""
        return [each or None for each in super().__call__(answers)]
