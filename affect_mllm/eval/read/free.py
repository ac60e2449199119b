"""text_v1: the whole text of the `<answer>` tag, or after the reasoning trace, for a judge.

Empty where there is none, refused where it declines within its first 200 characters.
"""

from __future__ import annotations

from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.text import declines, final_answer, is_blank, normal

_OPENING = 200


def text_v1(response: str, space: Space) -> Extraction:
    """The policy described at the head of this file; `space` has no influence."""
    text = final_answer(response)
    if is_blank(text):
        return Extraction(None, "empty")
    if declines(normal(text)[:_OPENING]):
        return Extraction(None, "refused")
    return Extraction(text, "ok")
