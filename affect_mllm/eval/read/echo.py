"""The question, where an answer repeats it."""

from __future__ import annotations

import re
from functools import lru_cache

_OPTION = re.compile(r"[A-J][.):]\s")
_SENTENCE = re.compile(r"(?<=[.?!。？])\s+")
_LEAST_WORDS, _LEAST_CHARACTERS = 3, 12


def without_echo(text: str, question: str) -> str:
    """`text` without those sentences of `question` that it repeats, if anything is then left."""
    if not question or len(text) < _LEAST_CHARACTERS:
        return text
    left = text
    for unit in units(question):
        if unit in left:
            left = left.replace(unit, "\n")
    return left if left is text or any(map(str.isalnum, left)) else text


@lru_cache(maxsize=256)
def units(question: str) -> tuple[str, ...]:
    """The sentences of a question that are long enough to be known again, the longest first.

    Options below each other are one unit: an answer may name one of them.
    """
    found: list[str] = []
    options: list[str] = []
    for line in [*question.split("\n"), ""]:
        if _OPTION.match(line):
            options.append(line)
            continue
        if len(options) > 1:
            found.append("\n".join(options))
        options = []
        found += _SENTENCE.split(line.strip())
    long = [
        unit
        for unit in dict.fromkeys(found)
        if len(unit) >= _LEAST_CHARACTERS and len(unit.split()) >= _LEAST_WORDS
    ]
    return tuple(sorted({question.strip(), *long}, key=lambda unit: (-len(unit), unit)))
