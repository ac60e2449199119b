"""Positive, neutral or negative.

polarity_v3
    The pole that the answer states, in its own words or as closed_label_v4 finds it: "neither
    positive nor negative" is neutral. Where none is stated, the labels of label_list_v3 vote by the
    polarity of their sense: both signs are ambiguous, no sign at all is neutral, and no known word
    is out_of_vocabulary. A stated "neutral" beside words of one sign is ambiguous too.
"""

from __future__ import annotations

from affect_mllm.eval.emotion_wheel import own
from affect_mllm.eval.read.base import Extraction, Space, one_of
from affect_mllm.eval.read.closed import key_lines
from affect_mllm.eval.read.conclusion import Conclusion, conclusions
from affect_mllm.eval.read.lists import label_list_v3
from affect_mllm.eval.read.mentions import said_in, said_with
from affect_mllm.eval.read.normal import folded
from affect_mllm.eval.read.said import Said
from affect_mllm.eval.read.vocabulary import free_words, vocabulary

POLES = ("negative", "neutral", "positive")
_NAMES = {"+": "positive", "-": "negative", "0": "neutral"}


def polarity_v3(response: str, space: Space) -> Extraction:
    """The policy described at the head of this file."""
    for conclusion in conclusions(response, space):
        for part in _parts(conclusion):
            text = folded(part)
            known, told = vocabulary(POLES, space.aliases), space.language
            stated = set(said_in(text, known, told).labels)
            if stated == {"neutral"} and _signs(said_with(text, free_words(), language=told)):
                return Extraction(None, "ambiguous")
            if stated:
                return one_of(stated)
    found = label_list_v3(response, space)
    return polarity_of(found.value) if isinstance(found.value, tuple) else found


def polarity_of(labels: tuple[str, ...]) -> Extraction:
    """The vote of labels, which may name a pole themselves."""
    poles = {pole for label in labels if (pole := _pole(label)) is not None}
    if not poles:
        return Extraction(None, "out_of_vocabulary" if labels else "empty")
    return one_of(poles - {"neutral"} or {"neutral"})


def _parts(conclusion: Conclusion) -> list[str]:
    if conclusion.explicit:
        return conclusion.parts
    return [key_lines(conclusion.text) or conclusion.text]


def _signs(said: Said) -> bool:
    """Whether words for emotions of either sign are said."""
    return any(_pole(label) in POLES[::2] for label in said.labels)


def _pole(label: str) -> str | None:
    key = own.normal(label)
    if key in POLES:
        return key
    known = own.look_up(key)
    return None if known is None else _NAMES[known[1].polarity]
