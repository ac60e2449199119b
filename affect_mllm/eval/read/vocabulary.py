"""Every way to say a label: its own words, their forms, words of the same sense, other names.

A word of the emotion list stands for a label if it is a form of the label's own word, or of a
word of the same sense, and no other label of the task shares that sense. A label's own spelling
and the task's aliases win over all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from affect_mllm.eval.emotion_wheel import own
from affect_mllm.eval.read.grammar import grammar
from affect_mllm.eval.read.normal import CJK, folded, spaces, unified, word_set
from affect_mllm.eval.read.tokens import Phrases, tokens_of

SURE, WEAK, EVERYDAY = 2, 1, 0
_POLES = (
    ["positive", "positively", "positivity", "pos", "积极", "正面", "正向", "正面的", "积极的"],
    ["negative", "negatively", "negativity", "neg", "消极", "负面", "负向"],
    ["neutral", "neutrally", "中性", "中立", "neutral sentiment", "neither positive nor negative",
     "neither negative nor positive", "不积极也不消极", "既不积极也不消极", "既不正面也不负面"],
)  # fmt: skip
# Words of a sense that a task has no label for, and the sense that is nearest.
_NEAREST = (
    ("shock", "surprise"),
    ("grief", "sadness"),
    ("despair", "sadness"),
    ("pessimism", "sadness"),
    ("hurt", "sadness"),
    ("hostility", "anger"),
    ("serenity", "calm"),
    ("sarcasm", "contempt"),
    ("arrogance", "contempt"),
    ("accusation", "disapproval"),
    ("determination", "confidence"),
    ("doubt", "confusion"),
    ("esteemed", "pride"),
)

# Senses for which `tables/words.txt` has more words than the emotion list.
_MORE = (
    "surprise",
    "anger",
    "joy",
    "sadness",
    "fear",
    "disgust",
    "neutral",
    "high",
    "medium",
    "low",
)


class Form(NamedTuple):
    """What a form says, and how surely: SURE, WEAK beside other words, or EVERYDAY."""

    label: str
    strength: int


class Vocabulary(NamedTuple):
    """The forms of a task's labels; `shadowed`: some look like a negation or a refusal."""

    phrases: Phrases
    shadowed: bool
    poles: bool
    neutral: str | None


@lru_cache(maxsize=256)
def vocabulary(labels: tuple[str, ...], aliases: tuple[tuple[str, str], ...] = ()) -> Vocabulary:
    """The vocabulary of a task's labels."""
    exact = {_key(label): label for label in labels}
    exact |= {_key(name): label for name, label in aliases if label in labels}
    exact |= {key: label for key, label in _spellings(exact) if key not in exact}
    forms: dict[str, Form] = {}
    listed = own.forms()  # an ending of one word may be another one: insulting, insulted
    for family in _families():
        members = {exact[word] for word in family if word in exact}
        if len(members) == 1:
            label = members.pop()
            words = (word for word in inflected(family) if word in family or word not in listed)
            forms |= {word: Form(label, strength_of(word)) for word in words}
    forms |= {form: Form(label, SURE) for key, label in exact.items() for form in inflected([key])}
    forms |= {key: Form(label, SURE) for key, label in exact.items()}
    poles = {"positive", "negative"} <= exact.keys()
    neutral = forms.get("neutral")
    phrases = Phrases(forms.items())
    return Vocabulary(phrases, _is_shadowed(exact), poles, neutral.label if neutral else None)


@lru_cache(maxsize=8)
def free_words(aliases: tuple[tuple[str, str], ...] = ()) -> Phrases:
    """The emotion list's own forms, each as itself, and other names as what they stand for."""
    named = [(_key(name), Form(label, SURE)) for name, label in aliases]
    listed = own.forms()
    more = [form for form in inflected(listed) if form not in listed]
    forms = ((form, Form(form, strength_of(form))) for form in (*more, *listed))
    return Phrases([*forms, *named])


def strength_of(form: str) -> int:
    """How surely a form names an emotion in prose: an adverb or a behaviour weakly."""
    if form in _everyday() or (len(form) == 1 and CJK.match(form)):
        return EVERYDAY
    return WEAK if form in _weak() or (form.endswith("ly") and form not in _NO_ADVERBS) else SURE


def inflected(forms: Iterable[str]) -> Iterator[str]:
    """The words, with plurals and verb forms of single ones; some of them are no words."""
    for word in forms:
        yield word
        if word.isalpha() and word.isascii() and len(word) > 2:
            yield from _endings(word)


def _endings(word: str) -> Iterator[str]:
    if word.endswith(("s", "ly", "ed", "ful", "less")):
        return
    if word.endswith("y") and word[-2] not in "aeiou":
        yield word[:-1] + "ies"
    elif word.endswith("ing") and len(word) > 5:
        stem = word[:-3]
        bare = () if _LOST_E.fullmatch(stem) else ("", "s")
        yield from (stem + each for each in (*bare, "e", "es", "ed", "ement", "ment", "ion"))
    else:
        yield from (word + ending for ending in ("s", "es"))


# "caring" comes from care and "hating" from hate: a car and a hat are no feelings.
_LOST_E = re.compile(r"[^aeiou]*[aeiou][^aeiouwxy]")
_NO_ADVERBS = {"lonely", "friendly", "lively", "jolly", "silly", "melancholy", "cowardly", "ugly"}


def _key(label: str) -> str:
    return spaces(folded(unified(label)))


def _spellings(exact: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Labels of several words joined otherwise, and without what they have in brackets."""
    for key, label in exact.items():
        parts = re.split(r"[\s_-]+", key)
        if len(parts) > 1:
            yield from ((joint.join(parts), label) for joint in (" ", "_", " - ", "-", ""))
        if "(" in key:
            yield spaces(re.sub(r"\([^)]*\)", "", key)), label


def one_sense(labels: Sequence[str]) -> list[tuple[str, ...]]:
    """Labels of a task that share a sense, whose other words so stand for none of them."""
    keys = {_key(label): label for label in labels}
    families = map(frozenset, (*_senses().values(), *_POLES))
    shared = (tuple(keys[key] for key in keys if key in family) for family in families)
    return list(dict.fromkeys(each for each in shared if len(each) > 1))


@lru_cache(maxsize=1)
def _senses() -> dict[str, list[str]]:
    senses: dict[str, list[str]] = {}
    for sense in own.senses():
        senses.setdefault(sense.name, []).extend(form for word in sense.words for form in word)
    for name in _MORE:
        senses.setdefault(name, [name]).extend(sorted(word_set(f"sense {name}")))
    return senses


@lru_cache(maxsize=1)
def _families() -> tuple[Sequence[str], ...]:
    """Words that stand for each other: of the nearest sense, of one sense, forms of one word."""
    senses = _senses()
    near = [senses[other] + senses[name] for name, other in _NEAREST if {name, other} <= {*senses}]
    own_forms = [list(word) for sense in own.senses() for word in sense.words]
    return (*near, *senses.values(), *own_forms, *_POLES)


@lru_cache(maxsize=1)
def _everyday() -> frozenset[str]:
    listed = own.everyday() | word_set("everyday")
    return frozenset(inflected(listed - {"love", "intense", "emotional"}))


@lru_cache(maxsize=1)
def _weak() -> frozenset[str]:
    return word_set("behaviour")


def _is_shadowed(exact: Iterable[str]) -> bool:
    """Whether a label has a word that the grammar would take away."""
    return any(
        not CJK.search(key) and grammar().at(tokens, start)[1] is not None
        for key in exact
        for tokens in [tokens_of(key)]
        for start in range(len(tokens))
        if tokens[start].isalpha() or "'" in tokens[start]
    )
