"""Classes that are answered by their numbers around 0, such as -1, 0 and 1 for three sentiments.

centred_label_v1
    The task's labels, an odd number of them, are numbered in their order, the middle one is 0.
    The label whose number is the one of the answer (`number_v2`), or whose word is the one that it
    says (`closed_label_v4`); where it has both, they have to agree, or it is ambiguous. A number
    that is no class's is out_of_vocabulary.
"""

from __future__ import annotations

from dataclasses import replace

from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.closed import closed_label_v4
from affect_mllm.eval.read.numbers import number_v2


def centred_label_v1(response: str, space: Space) -> Extraction:
    """The policy described at the head of this file."""
    middle = len(space.labels) // 2
    numbered = {float(place - middle): label for place, label in enumerate(space.labels)}
    word = closed_label_v4(response, space)
    number = number_v2(response, replace(space, low=None, high=None))
    if word.status == "ambiguous" or number.status == "ambiguous":
        return Extraction(None, "ambiguous")
    if not isinstance(number.value, float):
        return word
    coded = numbered.get(number.value) if len(space.labels) % 2 else None
    if coded is None:
        return Extraction(None, "out_of_vocabulary")
    return Extraction(coded, "ok") if word.label in (None, coded) else Extraction(None, "ambiguous")
