"""text_v2: the whole text of the answer tag, or after the reasoning trace, for a judge.

Empty where there is none; refused where it declines and says hardly anything besides.
"""

from __future__ import annotations

import re

from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.conclusion import outside_marks
from affect_mllm.eval.read.mentions import declines
from affect_mllm.eval.read.normal import folded, is_blank, unified
from affect_mllm.eval.read.tokens import tokens_of

_SENTENCE = re.compile(r"[.!?;\n。！？；]|\bbut\b|但")
_OPENING = 600
_HARDLY = 5  # words beside a refusal


def text_v2(response: str, space: Space) -> Extraction:
    """The policy described at the head of this file; of `space` the question has influence."""
    text = outside_marks(response, space)
    if is_blank(text):
        return Extraction(None, "empty")
    opening = folded(unified(text[:_OPENING]))
    if len(text) <= _OPENING and declines(opening):
        rest = [part for part in _SENTENCE.split(opening) if not declines(part)]
        if sum(token[0].isalnum() for part in rest for token in tokens_of(part)) < _HARDLY:
            return Extraction(None, "refused")
    return Extraction(text, "ok")
