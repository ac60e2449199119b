"""Numbers, option letters, yes or no, and the preferred one of two.

All read the `<answer>` tag, or what follows a reasoning trace.

number_v1
    The one number of the answer. Mentions of the scale itself ("from -3 to 3", "1.5 out of 3",
    "2/3" on a scale that ends at 3) are no numbers of their own. Several different ones are
    ambiguous; one outside the scale, or a percentage, is out_of_vocabulary.
letter_v1
    An option's letter: the whole answer, or after "answer is" or "option", or in brackets or
    before one, a stop or a colon, or by itself (an "A" before a word is an article, "I" a
    pronoun). Where no letter stands, the one option whose text the answer quotes. Negated letters
    do not count; several are ambiguous.
yes_no_v1
    The first label of the task for yes, correct, true; the second for no, incorrect, false; a
    negation turns the word round. Both: ambiguous.
preference_v1
    The first or second label for first, A, 1 or second, B, 2; a third label, if the task has one,
    for tie, equal, both. Several: ambiguous.
"""

from __future__ import annotations

import re
import unicodedata

from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.text import (
    declines,
    final_answer,
    is_blank,
    is_discarded,
    normal,
    spaces,
    words_pattern,
)

_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:/[-+]?\d+(?:\.\d+)?)?(?!\w)")
_OF = re.compile(r"\s*(?:/|out of|of|on a scale of)\s*([-+]?\d+(?:\.\d+)?)(?![\w.]\d)")
_SCALE = r"{0}\s*(?:to|and|through|,|;|~|–|—|到|至|-)\s*\+?{1}"
_EXPLICIT = re.compile(
    r"(?:\b(?:answer|choice|option|choose|select)\b(?: is| would be)?|答案(?:是|为)?|选项?)\s*:?\s*"
    r"[(\[*\"']*([A-Z])(?![A-Za-z'])"
)
_MARKED = re.compile(
    r"[(\[]([A-Z])[)\]]|(?<![A-Za-z])([A-Z])(?=[).:,])|^\W*([A-Z])\W*$", re.MULTILINE
)
_ALONE = re.compile(
    r"(?<![A-Za-z'])(A(?!\s+(?!(?:or|and|is)\b)[a-z])|[B-HJ-Z]|I(?!\s+[a-z]|'))(?![A-Za-z'])"
)
_NEGATED_LETTER = re.compile(r"(?:\bnot|n't|不是)\s+(?:option\s+)?[(\[]?([A-Z])\b", re.IGNORECASE)
_YES = re.compile(r"\b(?:yes|correct|true|right|accurate)\b|正确|(?<!不)是的?(?!否)|(?<!不)对")
_NO = re.compile(r"\b(?:no|incorrect|false|wrong|inaccurate)\b(?! doubt)|不正确|错误?|不是|不对|否")
_CHOICES = (
    re.compile(r"\b(?:first|former|a1?|1)\b|第一"),
    re.compile(r"\b(?:second|latter|b|a2|2)\b|第二"),
    re.compile(r"\b(?:tie|equal(?:ly)?|same|both|neither)\b|一样|相同"),
)


def number_v1(response: str, space: Space) -> Extraction:
    """The first policy described at the head of this file."""
    text = normal(final_answer(response))
    if is_blank(text):
        return Extraction(None, "empty")
    low, high = _plain(space.low), _plain(space.high)
    if low and high:
        text = re.sub(_SCALE.format(re.escape(low), re.escape(high)), " ", text)
    found = {value for match in _NUMBER.finditer(text) for value in _value(text, match, space)}
    if not found:
        return Extraction(None, "refused" if declines(text) else "out_of_vocabulary")
    if len(found) > 1:
        return Extraction(None, "ambiguous")
    value = found.pop()
    low_end = space.low if space.low is not None else value
    high_end = space.high if space.high is not None else value
    if not low_end <= value <= high_end:  # NaN too: a number of another scale
        return Extraction(None, "out_of_vocabulary")
    return Extraction(value, "ok")


def letter_v1(response: str, space: Space) -> Extraction:
    """The second policy described at the head of this file, for the letters of `space.options`."""
    text = unicodedata.normalize("NFKC", final_answer(response)).replace("’", "'").strip()
    letters = set(space.options) or set(space.labels)
    if is_blank(text):
        return Extraction(None, "empty")
    if text.strip(" .()*").upper() in letters:
        return Extraction(text.strip(" .()*").upper(), "ok")
    dropped = {letter.upper() for letter in _NEGATED_LETTER.findall(text)}
    for pattern in (_EXPLICIT, _MARKED, _ALONE):
        found = {_group(match) for match in pattern.finditer(text)} & letters - dropped
        if found:
            return _single(found)
    quoted = _quoted(normal(text), space)
    if quoted:
        return _single(quoted)
    return Extraction(None, "refused" if declines(normal(text)) else "out_of_vocabulary")


def yes_no_v1(response: str, space: Space) -> Extraction:
    """The third policy described at the head of this file; `space.labels` has two labels."""
    text = normal(final_answer(response))
    if is_blank(text):
        return Extraction(None, "empty")
    if declines(text):
        return Extraction(None, "refused")
    said: set[str] = set()
    for label, other, pattern in (
        (space.labels[0], space.labels[1], _YES),
        (space.labels[1], space.labels[0], _NO),
    ):
        for match in pattern.finditer(text):
            turned = match[0] != "no" and is_discarded(text, match.start())
            said.add(other if turned else label)
    return _single(said) if said else Extraction(None, "out_of_vocabulary")


def preference_v1(response: str, space: Space) -> Extraction:
    """The fourth policy described at the head of this file."""
    text = normal(final_answer(response))
    if is_blank(text):
        return Extraction(None, "empty")
    said = {
        label
        for label, pattern in zip(space.labels, _CHOICES, strict=False)
        for match in pattern.finditer(text)
        if not _is_article(text, match) and not is_discarded(text, match.start())
    }
    if said:
        return _single(said)
    return Extraction(None, "refused" if declines(text) else "out_of_vocabulary")


def _single(found: set[str]) -> Extraction:
    return Extraction(next(iter(found)), "ok") if len(found) == 1 else Extraction(None, "ambiguous")


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _value(text: str, match: re.Match[str], space: Space) -> list[float]:
    """The number of one mention: [NaN] for another scale's, [] for one that ends a scale."""
    number, _, below = match[0].partition("/")
    after = text[match.end() :]
    if not below:
        of = _OF.match(after)
        below = of[1] if of else ""
    if re.search(r"(?:out of|of|on a scale of)\s*$", text[: match.start()]):
        return []
    if below and (space.high is None or float(below) != space.high):
        return [float("nan")]
    if after.lstrip().startswith(("%", "percent")) and space.high != 100:
        return [float("nan")]
    return [float(number)]


def _group(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group)


def _quoted(text: str, space: Space) -> set[str]:
    """Letters of the options whose text the answer has; the longest where one holds another."""
    by_text = {spaces(normal(option)): letter for letter, option in space.options.items()}
    return {
        by_text[spaces(match[0])]
        for match in words_pattern([text for text in by_text if text]).finditer(text)
        if not is_discarded(text, match.start())
    }


def _is_article(text: str, match: re.Match[str]) -> bool:
    after = text[match.end() :]
    return match[0] == "a" and re.match(r"\s+(?!(?:is|or|and|wins)\b)[a-z]", after) is not None
