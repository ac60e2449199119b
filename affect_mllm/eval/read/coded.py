"""Classes that are answered by their numbers, such as -1, 0 and 1 for three sentiments.

coded_label_v1
    The label whose number (an alias) is the one number of the answer (`number_v2`), or whose word
    is the one that it says (`closed_label_v4`); where it has both, they have to agree, or it is
    ambiguous. A number that is no class's is out_of_vocabulary.
"""

from __future__ import annotations

from dataclasses import replace

from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.closed import closed_label_v4
from affect_mllm.eval.read.numbers import number_v2


def coded_label_v1(response: str, space: Space) -> Extraction:
    """The policy described at the head of this file."""
    codes = {float(name): label for name, label in space.aliases if _is_number(name)}
    names = tuple(alias for alias in space.aliases if not _is_number(alias[0]))
    word = closed_label_v4(response, replace(space, aliases=names))
    number = number_v2(response, replace(space, low=None, high=None))
    if word.status == "ambiguous" or number.status == "ambiguous":
        return Extraction(None, "ambiguous")
    if not isinstance(number.value, float):
        return word
    coded = codes.get(number.value)
    if coded is None:
        return Extraction(None, "out_of_vocabulary")
    return Extraction(coded, "ok") if word.label in (None, coded) else Extraction(None, "ambiguous")


def _is_number(name: str) -> bool:
    return name.lstrip("-").isdecimal()
