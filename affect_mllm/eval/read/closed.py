"""Closed label lists: one label of the task's, or several where the task allows them.

closed_label_v2
    Reads the `<answer>` tag, or what follows a reasoning trace, in lower case (Unicode NFKC), and
    looks for whole words. A label is found as itself, in a form of its own word, or in a synonym,
    unless two labels of the task share that sense: both from our emotion-wheel word list (version
    1), Chinese words included. Of mentions that overlap the longest counts. A mention after a
    negation in the same clause ("not angry", "neither sad nor happy", at most four words between)
    is no answer, nor is one in a clause that declines to answer. One label left: ok. Several:
    ambiguous, none is chosen. None: empty (no letters or digits), refused (the answer declines),
    else out_of_vocabulary. (Version 1 had a shorter word list and no Chinese.)
multi_label_v1
    Finds mentions like closed_label_v2, and answers with all labels that are left.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from affect_mllm.eval.emotion_wheel import own
from affect_mllm.eval.read import text as texts
from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.text import declines, is_blank, normal, spaces

_POLES = (
    ["positive", "positively", "积极", "正面", "正向"],
    ["negative", "negatively", "消极", "负面", "负向"],
)
Vocabulary = tuple[re.Pattern[str], dict[str, str]]


def from_labels(given: Sequence[str], labels: Sequence[str]) -> Extraction:
    """Status of labels that were extracted elsewhere: the same rules, without any reading."""
    found = several_from_labels(given, labels)
    if not isinstance(found.value, tuple):
        return found
    return _one(set(found.value))


def several_from_labels(given: Sequence[str], labels: Sequence[str]) -> Extraction:
    """The same where an answer may have several labels."""
    known = {normal(label): label for label in labels}
    wanted = {normal(label) for label in given}
    if not wanted:
        return Extraction(None, "empty")
    if not wanted <= known.keys():
        return Extraction(None, "out_of_vocabulary")
    return Extraction(tuple(label for key, label in known.items() if key in wanted), "ok")


def closed_label_v2(response: str, space: Space) -> Extraction:
    """The policy described at the head of this file."""
    return _one(_read(normal(texts.final_answer(response)), vocabulary(space.labels)))


def multi_label_v1(response: str, space: Space) -> Extraction:
    """All labels that closed_label_v2 would find, in the task's order."""
    found = _read(normal(texts.final_answer(response)), vocabulary(space.labels))
    if isinstance(found, Extraction):
        return found
    return Extraction(tuple(label for label in space.labels if label in found), "ok")


def _read(text: str, known: Vocabulary) -> set[str] | Extraction:
    """The labels mentioned in a normalised text, or why there is none."""
    if is_blank(text):
        return Extraction(None, "empty")
    pattern, forms = known
    found = {forms[word] for word in texts.mentions(text, pattern)}
    return found or Extraction(None, "refused" if declines(text) else "out_of_vocabulary")


def _one(found: set[str] | Extraction) -> Extraction:
    if isinstance(found, Extraction):
        return found
    return Extraction(found.pop(), "ok") if len(found) == 1 else Extraction(None, "ambiguous")


@lru_cache(maxsize=64)
def vocabulary(labels: tuple[str, ...]) -> Vocabulary:
    """A pattern of every accepted word form, and the label that each means.

    Words of one sense go before the forms of one word, and a label's own spelling wins over all.
    """
    synonyms: dict[str, list[str]] = {}
    for sense in own.senses():
        synonyms.setdefault(sense.name, []).extend(form for word in sense.words for form in word)
    words = [list(word) for sense in own.senses() for word in sense.words]
    exact = {spaces(normal(label)): label for label in labels}
    forms: dict[str, str] = {}
    for family in [*_POLES, *synonyms.values(), *words]:
        members = [label for key, label in exact.items() if key in family]
        if len(members) == 1:
            forms |= dict.fromkeys(family, members[0])
    forms |= exact
    return texts.words_pattern(list(forms)), forms
