"""Distributions over a task's labels, as shares that add up to 1.

shares_v1
    Reads a number, with or without a per cent sign, right after each label ("joy 60 %",
    "joy: 0.6", {"joy": 0.6}), labels being found like those of closed_label_v2. What has no number
    has no share; the numbers are divided by their sum. Two different numbers for one label are
    ambiguous. No number, or zeros alone: empty, refused or out_of_vocabulary, as there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.closed import vocabulary
from affect_mllm.eval.read.text import declines, final_answer, is_blank, normal, spaces

_NUMBER = r"[\"'*)]*\s*(?:[:=(—–]|\bis\b|\bof\b)?\s*[\"'*(]*(\d+(?:\.\d+)?)(?![\d.]*\d)"


def shares_v1(response: str, space: Space) -> Extraction:
    """The policy described at the head of this file."""
    text = normal(final_answer(response))
    if is_blank(text):
        return Extraction(None, "empty")
    _, forms = vocabulary(space.labels)
    found: dict[str, set[float]] = {}
    for word, number in _pattern(space.labels).findall(text):
        found.setdefault(forms[spaces(word)], set()).add(float(number))
    if any(len(numbers) > 1 for numbers in found.values()):
        return Extraction(None, "ambiguous")
    shares = normalised({label: numbers.pop() for label, numbers in found.items()}, space.labels)
    if shares is None:
        return Extraction(None, "refused" if declines(text) else "out_of_vocabulary")
    return Extraction(shares, "ok")


def normalised(numbers: Mapping[str, float], labels: Sequence[str]) -> dict[str, float] | None:
    """Each label's share of the sum of `numbers`; None where that is not above 0 or not finite."""
    total = sum(numbers.values())
    if not 0 < total < float("inf"):
        return None
    return {label: numbers.get(label, 0.0) / total for label in labels}


@lru_cache(maxsize=64)
def _pattern(labels: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(f"({vocabulary(labels)[0].pattern}){_NUMBER}")
