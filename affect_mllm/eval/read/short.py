"""Short texts that answer a question: a word, a number, a line of a document.

short_answer_v1
    What the answer comes to: after its last "the answer is", in its answer tag or box, the first
    sentence of it; else the whole text after the reasoning. Quotes, asterisks and one final period
    go, unless the period is one of several ("U.S."). Refused where it declines in more than two
    words and says hardly anything besides ("unanswerable" is an answer).

choice_or_short_v1
    `letter_v2` for a row with options, `short_answer_v1` for one without.
"""

from __future__ import annotations

import re

from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.conclusion import conclusions
from affect_mllm.eval.read.free import text_v2
from affect_mllm.eval.read.letters import letter_v2

_AROUND = "*_` \t\n"
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’"}
_SENTENCE = re.compile(r"(?<=\w\w)[.!?](?=\s+[A-Z])|\n")
_DECIMAL = re.compile(r"(?<=\d)\.(?=\d)")
_FEW = 2  # words that are an answer, whatever they say


def short_answer_v1(response: str, space: Space) -> Extraction:
    """The policy described at the head of this file."""
    whole = text_v2(response, space)
    if whole.status == "refused" and len(response.split()) <= _FEW:
        whole = Extraction(response, "ok")
    if whole.status != "ok":
        return whole
    first = next(iter(conclusions(response, space)))
    said = first.text.strip()
    text = trimmed(_SENTENCE.split(said)[0] if first.explicit and not first.hard else said)
    return Extraction(text, "ok") if text else Extraction(None, "empty")


def choice_or_short_v1(response: str, space: Space) -> Extraction:
    """The policy described at the head of this file."""
    return letter_v2(response, space) if space.options else short_answer_v1(response, space)


def trimmed(text: str) -> str:
    """`text` without asterisks and spaces around it, a pair of quotes, and a lone final period."""
    text = text.strip(_AROUND)
    if text.endswith(".") and "." not in _DECIMAL.sub("", text[:-1]):
        text = text[:-1].strip(_AROUND)
    inner = text[1:-1]
    if inner and text[-1] == _QUOTES.get(text[0]) and text[-1] not in inner:
        text = inner
    return text.strip(_AROUND)
