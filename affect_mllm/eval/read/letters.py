"""Option letters.

letter_v2
    The letter of an option that the answer comes to, negated mentions left out as for labels ("not
    A but B", "A is wrong", "the answer cannot be B"); a letter in an explanation counts where none
    else stands. Capital letters count by themselves, but for the article "A" and the pronoun "I";
    small ones as the whole answer, in brackets, before ")" at its beginning, or after "answer",
    "option" and the like. Where no letter stands, the one option whose text the answer quotes.
    Several are ambiguous.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from affect_mllm.eval.read.base import Extraction, Space, one_of
from affect_mllm.eval.read.closed import nothing_said
from affect_mllm.eval.read.conclusion import conclusions
from affect_mllm.eval.read.mentions import said_of
from affect_mllm.eval.read.normal import folded, unified, word_set
from affect_mllm.eval.read.said import Said
from affect_mllm.eval.read.tokens import Phrases, tokens_of
from affect_mllm.eval.read.vocabulary import SURE, Form

MARK = "\0"  # stands before a letter that is an option's
_NAMES = word_set("names of a letter")
_VERBS = word_set("before a letter")
_AFTER_A = word_set("after a letter")


def letter_v2(response: str, space: Space) -> Extraction:
    """The policy described at the head of this file, for the letters of `space.options`."""
    letters = frozenset(space.options) or frozenset(space.labels)
    options = _options(tuple(space.options.items()))
    first: Said | None = None
    for conclusion in conclusions(response, space):
        for part in conclusion.parts:
            said, found = _read(part, letters, options, explicit=conclusion.explicit)
            if found:
                return one_of({*found})
            first = first or said
            if not said.denied:
                break
    return nothing_said(first)


def _read(
    text: str, letters: frozenset[str], options: Phrases, *, explicit: bool
) -> tuple[Said, dict[str, None]]:
    tokens = tokens_of(text)
    lowered = with_letters(tokens, letters, explicit=explicit)
    said = said_of(lowered, _letters(letters))
    if said.mentions:
        return said, said.labels
    quoted = said_of(tokens_of(folded(text)), options, shadowed=True)
    return quoted, quoted.labels


def with_letters(tokens: Sequence[str], letters: frozenset[str], *, explicit: bool) -> list[str]:
    """The tokens in lower case, those that are letters of options marked with MARK."""
    found = [token.lower() for token in tokens]
    either = {form for letter in letters for form in (letter, letter.lower())}
    words: list[int] | None = None  # places of words, once they are asked for
    for place, token in enumerate(tokens):
        if token in either and token.upper() in letters:
            if words is None:
                words = [at for at, each in enumerate(tokens) if each[0].isalnum()]
            whole = len(words) == 1 or (explicit and place == words[0] and token not in "aIi")
            if whole or _is_letter(tokens, place):
                found[place] = MARK + token.upper()
    return found


def _is_letter(tokens: Sequence[str], place: int) -> bool:
    token = tokens[place]
    before = tokens[place - 1] if place else ""
    after = tokens[place + 1] if place + 1 < len(tokens) else ""
    named = before.lower() in _NAMES
    if (before in ("(", "[", "*", '"', "{") and after in (")", "]", "*", '"', "}")) or named:
        return token != "a" or named or after in ")]*}"
    opens = not before or before == "\n"
    if after in (")", "]") or (opens and after in (".", ":", ",", ")")):
        return token.isupper() or opens
    goes_on = after[:1].isalpha() and after.islower() and after.lower() not in _AFTER_A
    if token in ("I", "i"):
        return not goes_on and token == "I" and not after[:1].isalpha()
    if before.lower() in _VERBS and not (token == "a" and goes_on):
        return token.isupper() or "answer" in map(str.lower, tokens[max(0, place - 5) : place])
    return token.isupper() and not (token == "A" and goes_on)


@lru_cache(maxsize=64)
def _letters(letters: frozenset[str]) -> Phrases:
    return Phrases([((MARK + letter,), Form(letter, SURE)) for letter in sorted(letters)])


@lru_cache(maxsize=256)
def _options(options: tuple[tuple[str, str], ...]) -> Phrases:
    """The texts of the options; one that two options share stands for neither."""
    texts: dict[str, set[str]] = {}
    for letter, text in options:
        texts.setdefault(folded(unified(text)).strip(" .。"), set()).add(letter)
    return Phrases([(t, Form(min(ls), SURE)) for t, ls in texts.items() if t and len(ls) == 1])
