"""Two labels in one answer, such as an emotion and an intent, as one label FIRST_SECOND.

joint_label_v3
    Finds mentions like closed_label_v4, of the first parts of the task's labels and of the second
    ones. A word that both lists have ("neutral") stands for the side whose name stands before it
    ("intent: neutral"), else for the side that has no other; said at least twice it is both. One
    label on each side: ok. Several on a side: ambiguous, none is chosen. None on a side: empty,
    refused or out_of_vocabulary, as there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.closed import nothing_said
from affect_mllm.eval.read.conclusion import conclusions
from affect_mllm.eval.read.mentions import said_in
from affect_mllm.eval.read.normal import folded
from affect_mllm.eval.read.said import Said
from affect_mllm.eval.read.vocabulary import vocabulary

SEPARATOR = "_"
_NAMES = (re.compile(r"emotion|feeling|情绪|情感"), re.compile(r"intent|intention|purpose|意图"))


def sides(labels: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The first and the second parts of the labels, each once, in the labels' order."""
    pairs = [label.partition(SEPARATOR) for label in labels]
    firsts = dict.fromkeys(first for first, _, _ in pairs)
    return tuple(firsts), tuple(dict.fromkeys(second for _, _, second in pairs))


def joint_label_v3(response: str, space: Space) -> Extraction:
    """The policy described at the head of this file."""
    firsts, seconds = sides(space.labels)
    shared = {*firsts} & {*seconds}
    conclusion = next(conclusions(response, space, whole_json=True))
    known = vocabulary(tuple(dict.fromkeys((*firsts, *seconds))))
    said = said_in(folded(conclusion.text), known, space.language)
    found = [{*said.labels} & ({*side} - shared) for side in (firsts, seconds)]
    left: list[str] = []  # shared ones that no name gives to a side
    for mention in said.mentions:
        if mention.label in shared and not mention.denied:
            side = _side(said, mention.start)
            if side is None:
                left.append(mention.label)
            else:
                found[side].add(mention.label)
    lacking = [each for each in found if not each]
    if len(left) < len(lacking):
        return nothing_said(said)
    for each in lacking:
        each.update(left)
    if (left and not lacking) or any(len(each) > 1 for each in found):
        return Extraction(None, "ambiguous")
    label = SEPARATOR.join(each.pop() for each in found)
    listed = label in space.labels
    return Extraction(label, "ok") if listed else Extraction(None, "out_of_vocabulary")


def _side(said: Said, start: int) -> int | None:
    """The side whose name stands before a mention, in the same item."""
    for token in reversed(said.tokens[max(0, start - 6) : start]):
        if token in ",;\n":
            return None
        for side, name in enumerate(_NAMES):
            if name.match(token):
                return side
    return None
