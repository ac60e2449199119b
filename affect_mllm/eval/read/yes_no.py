"""Whether a statement is right.

yes_no_v2
    The first label of the task for yes, the second for no. A leading yes or no decides ("No, the
    man on the right …"), unless the other one follows at once ("yes and no": ambiguous). Else the
    verdict on the statement or the answer ("the statement is not correct"), a negation turning it
    round; the determiner in "no anger" and the adjectives in "the correct emotion", "on the right"
    are no verdicts. Another name of a label (`aliases`) is one. Both sides: ambiguous.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from affect_mllm.eval.read.base import Extraction, Space, one_of
from affect_mllm.eval.read.closed import nothing_said
from affect_mllm.eval.read.conclusion import conclusions
from affect_mllm.eval.read.mentions import said_of
from affect_mllm.eval.read.normal import CJK, folded, unified, word_set
from affect_mllm.eval.read.said import Mention, Said
from affect_mllm.eval.read.tokens import Phrases, tokens_of
from affect_mllm.eval.read.vocabulary import SURE, Form, inflected

YES, NO = "yes", "no"
_STANDING = frozenset(["yes", "yeah", "no", "nope"])
_ARTICLES = word_set("articles")
_NOUNS = word_set("what a verdict is on")
_PLACES = word_set("after a place")
_NO_NOUNS = word_set("after a leading no")
_SUBJECTS = word_set("subjects of a verdict")
_ENDS = word_set("ends of a verdict") | {"\n"}
_OPENS = _ENDS | word_set("before a verdict")
_SKIPPED = frozenset("*_\"'`#()[]{}>\n ".replace(" ", ""))
_MARKS = frozenset("*_`\"'")  # what closes around a word: "_no_"


def yes_no_v2(response: str, space: Space) -> Extraction:
    """The policy described at the head of this file; `space.labels` has two labels."""
    first: Said | None = None
    for conclusion in conclusions(response, space):
        for part in conclusion.parts:
            said, found = _read(folded(part), space)
            if found:
                return one_of({space.labels[side == NO] for side in found})
            first = first or said
    return nothing_said(first)


def _read(text: str, space: Space) -> tuple[Said, set[str]]:
    tokens = tokens_of(text)
    leading = _leading(tokens)
    if leading:
        return Said(tokens), leading
    said = said_of(tokens, _verdicts(space.labels, space.aliases), without=frozenset(["wrong"]))
    verdicts = [mention for mention in said.mentions if _is_verdict(tokens, mention)]
    turned = [
        Mention(
            _other(m.label) if m.denied else m.label, m.start, m.end, _is_sure(tokens, m) and m.sure
        )
        for m in verdicts
    ]
    return said, {*Said(tokens, turned, summed=said.summed).labels}


def _other(side: str) -> str:
    return NO if side == YES else YES


def _leading(tokens: Sequence[str]) -> set[str]:
    """The sides that a leading yes or no takes: none, one, or both."""
    words = [place for place, token in enumerate(tokens) if token not in _SKIPPED]
    sides: set[str] = set()
    at = 0
    while at < len(words):
        end, side = _leads().at(tokens, words[at])
        if side is None or not _stands(tokens, end, side):
            break
        sides.add(side)
        at = sum(place < end for place in words)
        if _other(side) == _leads_at(tokens, words, at):
            continue  # "yes no"
        joined = at < len(words) and tokens[words[at]] in (",", "/", "and", "or", "but")
        at += joined
        if not joined:
            break
        if tokens[words[at - 1]] == ",":
            at += at < len(words) and tokens[words[at]] in ("and", "or", "but")  # "yes, but no"
            if _other(side) != _leads_at(tokens, words, at):
                break
    if len(sides) > 1 and at < len(words) - 1 and tokens[words[at]] in ("?", ":"):
        return _leading(tokens[words[at + 1] :]) or sides  # "True or false? False."
    return sides


def _leads_at(tokens: Sequence[str], words: Sequence[int], at: int) -> str | None:
    if at >= len(words):
        return None
    end, side = _leads().at(tokens, words[at])
    goes_on = end < len(tokens) and tokens[end] not in _ENDS
    return None if goes_on else side


def _stands(tokens: Sequence[str], end: int, side: str) -> bool:
    """Whether a leading word is no adjective or determiner: "no anger", "right now"."""
    word = tokens[end - 1]
    while end < len(tokens) and tokens[end] in _MARKS:
        end += 1
    if (
        end >= len(tokens)
        or tokens[end] == word
        or tokens[end] in _ENDS
        or tokens[end] in ("/", "or", "|", "-", "<")
    ):
        return True
    if word == "no" and tokens[end] in _NO_NOUNS:
        return True
    return word in ("yes", "yeah", "yep", "nope") or bool(CJK.match(word) and end > 1 and side)


_RIGHT_AFTER = word_set("before right")


def _is_verdict(tokens: Sequence[str], mention: Mention) -> bool:
    word = tokens[mention.start]
    before = tokens[mention.start - 1] if mention.start else ""
    after = tokens[mention.end] if mention.end < len(tokens) else ""
    if word in _STANDING:
        return (not before or before in _OPENS) and (not after or after in _ENDS)
    if before in _ARTICLES:
        return before in ("a", "an") and after in _NOUNS
    if word == "right" and mention.start and before not in _RIGHT_AFTER and before not in _ENDS:
        return False
    return after not in _PLACES and after != "-"


def _is_sure(tokens: Sequence[str], mention: Mention) -> bool:
    """Whether the verdict is on the statement or the answer, as far as its clause says."""
    clause: list[str] = []
    for token in reversed(tokens[max(0, mention.start - 12) : mention.start]):
        if token in ".;!?\n":
            break
        clause.append(token)
    return not clause or not _SUBJECTS.isdisjoint(clause)


@lru_cache(maxsize=1)
def _leads() -> Phrases:
    return Phrases((word, side) for side in (YES, NO) for word in word_set(f"leading {side}"))


@lru_cache(maxsize=64)
def _verdicts(labels: tuple[str, ...], aliases: tuple[tuple[str, str], ...]) -> Phrases:
    return Phrases((word, Form(side, SURE)) for word, side in _all_words(labels, aliases))


def _all_words(
    labels: tuple[str, ...], aliases: tuple[tuple[str, str], ...]
) -> Iterator[tuple[str, str]]:
    side_of = dict(zip(labels, (YES, NO), strict=False))
    for name, label in aliases:
        yield from ((word, side_of[label]) for word in inflected([folded(unified(name))]))
    for side in (YES, NO):
        yield from ((word, side) for word in word_set(f"verdict {side}"))
    yield from ((folded(unified(label)), side) for label, side in side_of.items())
