"""Two labels in one answer, such as an emotion and an intent, as one label FIRST_SECOND.

joint_label_v1
    Finds mentions like closed_label_v2, of the first parts of the task's labels and of the second
    ones. A word that both lists have ("neutral") stands for the side that has no other; said at
    least twice it is both. One label on each side: ok. Several on a side: ambiguous, none is
    chosen. None on a side: empty, refused or out_of_vocabulary, as there.
"""

from __future__ import annotations

from collections.abc import Sequence

from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.closed import vocabulary
from affect_mllm.eval.read.text import declines, final_answer, is_blank, mentions, normal

SEPARATOR = "_"


def sides(labels: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The first and the second parts of the labels, each once, in the labels' order."""
    pairs = [label.partition(SEPARATOR) for label in labels]
    firsts = dict.fromkeys(first for first, _, _ in pairs)
    return tuple(firsts), tuple(dict.fromkeys(second for _, _, second in pairs))


def joint_label_v1(response: str, space: Space) -> Extraction:
    """The policy described at the head of this file."""
    text = normal(final_answer(response))
    if is_blank(text):
        return Extraction(None, "empty")
    firsts, seconds = sides(space.labels)
    said, shared = [_said(text, each) for each in (firsts, seconds)], {*firsts} & {*seconds}
    common = [label for label in said[0] if label in shared]
    found = [{*each} - shared for each in said]
    lacking = [each for each in found if not each]
    if len(common) < len(lacking):  # a side has no label
        return Extraction(None, "refused" if declines(text) else "out_of_vocabulary")
    for each in lacking:
        each.update(common)
    if (common and not lacking) or any(len(each) > 1 for each in found):
        return Extraction(None, "ambiguous")
    label = SEPARATOR.join(each.pop() for each in found)
    known = label in space.labels
    return Extraction(label, "ok") if known else Extraction(None, "out_of_vocabulary")


def _said(text: str, labels: tuple[str, ...]) -> list[str]:
    pattern, forms = vocabulary(labels)
    return [forms[word] for word in mentions(text, pattern)]
