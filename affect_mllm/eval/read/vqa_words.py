"""Answers as the VQA evaluation compares them: punctuation, number words, articles, contractions.

Rules and word lists are those of GT-Vision-Lab/VQA@a013f00 (`vqaEval.py`), quirks included: what
one character of punctuation does to a text depends on the whole text, and a contraction of two
apostrophes is known by one of them alone.
"""

from __future__ import annotations

import re
from functools import cache

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_LONE_PERIOD = re.compile(r"(?<!\d)\.(?!\d)")
_MOST = 32  # periods taken out: the source passes a flag where the count belongs
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBER = {"none": "0"} | {word: str(value) for value, word in enumerate(_NUMBERS)}
_ARTICLES = ("a", "an", "the")
# Stems of contractions by their endings.
_ENDINGS = {
    "n't": "ai are ca could did does do had has have is might must need ought sha should was were "
    "wo would",
    "'ve": "could I might must not should they we what where who would you",
    "'d": "he how it someone something there they where who you",
    "'d've": "he I it she someone there they we who you",
    "n't've": "could had might should would",
    "'ll": "how it somebody someone something they what who why y'all you",
    "'s": "he how somebody someone that there what when where who why",
    "'re": "there they what why you",
}  # fmt: skip
_OTHERS = ("I'm", "ma'am", "o'clock", "y'all", "y'all'd've")
_ALONE = {
    "let's": "let's",
    "she's": "she's",
    "twas": "'twas",
    "ow's'at": "'ow's'at",
    "'ows'at": "'ow's'at",
    "'ow'sat": "'ow's'at",
    "somebody'd": "somebodyd",
    "somebodyd've": "somebody'd've",
    "somebody'dve": "somebody'd've",
    "somethingd've": "something'd've",
    "something'dve": "something'd've",
    "y'allll": "y'all'll",
}


@cache
def contractions() -> dict[str, str]:
    """Spellings that lack an apostrophe → how they are spelled."""
    forms = [f"{stem}{end}" for end, stems in _ENDINGS.items() for stem in stems.split()]
    found = dict(_ALONE)
    for form in (*forms, *_OTHERS):
        marks = [place for place, letter in enumerate(form) if letter == "'"]
        found |= {form[:place] + form[place + 1 :]: form for place in marks}
    return found


def punctuated(text: str, *, keep_after_digits: bool = False) -> str:
    """`text` without punctuation, which becomes a space between words, else nothing.

    A comma between digits makes it nothing everywhere. Periods go unless a digit follows
    (`keep_after_digits`: or precedes, as in VLMEvalKit).
    """
    found, number = text, _COMMA.search(text) is not None
    for mark in _PUNCTUATION:
        outside = f"{mark} " in text or f" {mark}" in text
        found = found.replace(mark, "" if outside or number else " ")
    return (_LONE_PERIOD if keep_after_digits else _PERIOD).sub("", found, count=_MOST)


def spelled(text: str) -> str:
    """`text` in lower case, number words as digits, without articles, contractions spelled."""
    words = [_NUMBER.get(word, word) for word in text.lower().split()]
    known = contractions()
    return " ".join(known.get(word, word) for word in words if word not in _ARTICLES)


def bare_words(text: str) -> list[str]:
    """The words of a text without punctuation, as VLMEvalKit has them."""
    return punctuated(text, keep_after_digits=True).split()


def vqa_form(text: str) -> str:
    """What the VQA evaluation compares."""
    return spelled(punctuated(_flat(text)))


def evalai_form(text: str) -> str:
    """The same as EvalAI's processor has it (TextVQA in lmms-eval): commas and question marks go
    first, and a space comes before 's."""
    words = text.lower().replace(",", "").replace("?", "").replace("'s", " 's")
    return vqa_form(words.strip())


def vlmevalkit_form(text: str) -> str:
    """The same as VLMEvalKit has it: a period after a digit stays."""
    return spelled(punctuated(_flat(text), keep_after_digits=True))


def _flat(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()
