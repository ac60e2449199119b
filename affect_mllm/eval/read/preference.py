"""The preferred one of two.

preference_v2
    The first or second label for first, former, A, 1 or second, latter, B, 2; a third label, if the
    task has one, for tie, equal, both, neither. Numbers count as the whole answer or after
    "description", "option" and the like. What stands after "than" or "over", what is worse, and
    what is negated does not count, nor do "first of all", "the first second". Several: ambiguous.
"""

from __future__ import annotations

import re
from functools import lru_cache

from affect_mllm.eval.read.base import Extraction, Space, one_of
from affect_mllm.eval.read.closed import nothing_said
from affect_mllm.eval.read.conclusion import conclusions
from affect_mllm.eval.read.grammar import Role
from affect_mllm.eval.read.letters import MARK, with_letters
from affect_mllm.eval.read.mentions import said_of
from affect_mllm.eval.read.normal import folded, unified, word_set
from affect_mllm.eval.read.said import Said
from affect_mllm.eval.read.tokens import Phrases, tokens_of
from affect_mllm.eval.read.vocabulary import SURE, Form

_SIDES = (
    ("first", "former", "a1", "1st", MARK + "A", MARK + "1", "first one", "前者", "第一",
     "描述一", "选项一"),
    ("second", "latter", "a2", "2nd", MARK + "B", MARK + "2", "second one", "后者", "第二",
     "描述二", "选项二"),
    ("tie", "tied", "equal", "equally", "same", "both", "neither", "一样", "相同", "差不多",
     "平局"),
)  # fmt: skip
_PASSED_OVER = (
    "first of all", "at first", "in the first place", "first and foremost", "a second",
    "one second",
    "seconds", "for a second", "a first glance", "at first glance", "first impression",
    "firstly", "secondly",
    *(f"{number} {noun}" for number in ("first", "second")
      for noun in ("half", "few", "part", "second", "seconds", "frame", "frames", "time",
      "glance", "scene",
                   "moment", "person", "two", "speaker", "minute", "sentence")),
)  # fmt: skip
# Said of the one before it: of two it is the other one.
_WORSE = (
    *(f"{verb} {word}" for verb in ("is", "was", "seems", "looks")
      for word in ("worse", "much worse", "clearly worse", "inferior", "weaker", "less",
                   "much less")),
    "不如",
)  # fmt: skip
_LESS = frozenset(["worse", "less", "inferior", "weaker"])
_NAMES = re.compile(r"\bA[12]\b")
_NAMED = word_set("before a number of one")
_BETTER = {
    ">": "than",
    "over": "than",
    "versus": "than",
    "vs": "than",
    "beats": "than",
    "against": "than",
    "compared": "than",
}


def preference_v2(response: str, space: Space) -> Extraction:
    """The policy described at the head of this file."""
    phrases = _phrases(space.labels)
    first: Said | None = None
    for conclusion in conclusions(response, space):
        for part in conclusion.parts:
            said = said_of(_tokens(part), phrases)
            if said.labels:
                return one_of({*said.labels})
            first = first or said
    return nothing_said(first)


def _tokens(text: str) -> list[str]:
    """The tokens in lower case, with marks on what names one of the two."""
    text = _NAMES.sub(lambda match: match[0].lower(), text)
    tokens = with_letters(tokens_of(text), frozenset("AB"), explicit=False)
    tokens = [
        _BETTER.get(each, each) if each[0] == MARK else _BETTER.get(each, folded(each))
        for each in tokens
    ]
    if not _LESS.isdisjoint(tokens):  # "worse than the second" denies no second
        tokens = ["," if each in ("than", "to") else each for each in tokens]
    elif "比" in tokens and "差" not in tokens:
        tokens = ["than" if each == "比" else each for each in tokens]
    words = [token for token in tokens if token[0].isalnum() or token[0] == MARK]
    for place, token in enumerate(tokens):
        if token in ("1", "2"):
            before = tokens[place - 1] if place else "\n"
            item = before == "\n" and tokens[place + 1 : place + 2] in ([")"], ["."])
            if len(words) == 1 or before in _NAMED or (item and place == 0):
                tokens[place] = MARK + token
    return tokens


@lru_cache(maxsize=64)
def _phrases(labels: tuple[str, ...]) -> Phrases:
    found: dict[tuple[str, ...], Form | Role] = {
        tuple(tokens_of(phrase)): Role("ignore") for phrase in _PASSED_OVER
    }
    found |= {tuple(tokens_of(phrase)): Role("wrong") for phrase in _WORSE}
    for label, words in zip(labels, _SIDES, strict=False):
        found |= {_as_tokens(word): Form(label, SURE) for word in words}
        found[_as_tokens(folded(unified(label)))] = Form(label, SURE)
    return Phrases(found.items())


def _as_tokens(word: str) -> tuple[str, ...]:
    return (word,) if word.startswith(MARK) else tuple(tokens_of(word))
