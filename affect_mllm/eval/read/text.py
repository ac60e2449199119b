"""Reading answers as text: tags and reasoning traces, clauses, negation, refusals (en, zh)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

REASONING_TAGS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<analysis>", "</analysis>"),
    ("<reasoning>", "</reasoning>"),
)
_ANSWER = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
CJK = re.compile(r"[㐀-鿿]")

# Words that a negation reaches over, at most: "not at all very much angry".
_WORDS_BETWEEN = 4
_NEGATION = re.compile(
    r"\b(?:not(?! only\b)|never|no(?! doubt\b)|nor|neither|none|without(?! doubt\b)|hardly|cannot"
    r"|rather than|instead of|lacks?|absence of"
    r"|(?:is|are|was|were|do|does|did|ca|could|would|wo|should)n'?t)\b"
)
_NEGATION_ZH = re.compile(
    r"(?:不(?![仅但只])|没有?|并?非(?!常)|(?<!毫)无(?!疑)|而不是)[^,。;]{0,3}$"
)
_REFUSAL = re.compile(
    r"\b(?:i'?m sorry|i am sorry|i apologi[sz]e|as an ai|unable to|not able to|not sure"
    r"|(?:can ?not|can'?t|could not|couldn'?t|do not|don'?t|impossible to|hard to) "
    r"(?:reliably |really |possibly )?(?:determine|tell|say|identify|know|answer|assist|help|see"
    r"|hear|access|view|judge|provide))\b"
    r"|\bno idea\b|抱歉|对不起|作为一?个?(?:人工智能|ai)|不确定"
    r"|(?:无法|不能|难以)(?:判断|确定|识别|回答|提供|看到|听到)"
)
# "or" and "nor" go on with a negation ("not angry or sad"); these end it.
_CLAUSE = re.compile(
    r"[.,;:!?\n()\[\]。;]|而是|但是?|然而|却"
    r"|\b(?:but|however|though|although|yet|and|so|because)\b"
)


def normal(text: str) -> str:
    """Case-folded and stripped, in Unicode NFKC with a plain apostrophe and minus sign."""
    text = unicodedata.normalize("NFKC", text).replace("’", "'").replace("−", "-")
    return text.casefold().strip()


def strip_reasoning(
    text: str, tags: Sequence[tuple[str, str]] = REASONING_TAGS, *, keep_unfinished: bool = False
) -> str:
    """What stands after the last closing tag of a trace.

    A trace that was never closed has no answer after it: "", or the whole text where
    `keep_unfinished` is set (as lmms-eval does).
    """
    lowered = text.lower()
    for opening, closing in tags:
        end = lowered.rfind(closing)
        if end >= 0:
            text = text[end + len(closing) :]
        elif opening in lowered and not keep_unfinished:
            text = text[: lowered.index(opening)]
        lowered = text.lower()
    return text.strip()


def final_answer(response: str) -> str:
    """The text of the last `<answer>` tag, else what stands after the reasoning trace."""
    text = strip_reasoning(response)
    tagged = _ANSWER.findall(text)
    return tagged[-1].strip() if tagged else text


def is_blank(text: str) -> bool:
    """Whether there is no letter or digit in it."""
    return not any(character.isalnum() for character in text)


def declines(text: str) -> bool:
    """Whether a normalised text, or a part of it, declines to answer."""
    return _REFUSAL.search(text) is not None


def is_discarded(text: str, start: int) -> bool:
    """Whether the mention at `start` is negated, or stands in a clause that declines."""
    ends = [match.end() for match in _CLAUSE.finditer(text, 0, start)]
    clause = text[ends[-1] if ends else 0 : start]
    if declines(clause) or _NEGATION_ZH.search(clause):
        return True
    negations = list(_NEGATION.finditer(clause))
    if not negations:
        return False
    between = clause[negations[-1].end() :].split()
    # Each "or X" widens the reach by its own two words: "not angry or sad or afraid".
    return len(between) <= _WORDS_BETWEEN + 2 * sum(word in ("or", "nor") for word in between)


def mentions(text: str, pattern: re.Pattern[str]) -> Iterator[str]:
    """What `pattern` finds in a normalised text, but for what is negated or part of a refusal."""
    refusals = [match.span() for match in _REFUSAL.finditer(text)]
    for match in pattern.finditer(text):
        inside = any(start <= match.start() < end for start, end in refusals)
        if not inside and not is_discarded(text, match.start()):
            yield spaces(match[0])


def words_pattern(words: Sequence[str]) -> re.Pattern[str]:
    """A pattern of whole words, longest first; Chinese ones match inside a run of characters."""
    body = []
    for word in sorted(set(words), key=lambda word: (-len(word), word)):
        escaped = re.escape(word).replace(r"\ ", r"\s+")
        body.append(escaped if CJK.search(word) else rf"(?<!\w){escaped}(?!\w)")
    return re.compile("|".join(body) or r"(?!)")


def spaces(text: str) -> str:
    """Single spaces between words."""
    return " ".join(text.split())
