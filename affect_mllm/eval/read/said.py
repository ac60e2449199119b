"""What a text says of labels, and signs of denial and quotation among its words."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from affect_mllm.eval.read.normal import word_set

MARKUP = frozenset("*_\"'`#|()[]{}<>•·~")
_BETWEEN = frozenset([*":-=?|", "->", "=>", "—"])
_ADVERBS = word_set("adverbs of a denial")
_SPEECH = word_set("speech")
_SAYS, _TEXTS = word_set("says"), word_set("texts that are cited")
_LONG_QUOTE, _LONGEST_QUOTE = 4, 40


@dataclass(slots=True)
class Mention:
    """A label that is said, at the tokens from `start` to before `end`."""

    label: str
    start: int
    end: int
    sure: bool
    denied: bool = False


@dataclass
class Said:
    """What a text says: its mentions in order, and how it declines, if it does."""

    tokens: Sequence[str]
    mentions: list[Mention] = field(default_factory=list)
    refused: bool = False
    summed: int = -1  # token from which on the text sums up

    @property
    def labels(self) -> dict[str, None]:
        """The labels that count, in the order in which they are said."""
        left = [mention for mention in self.mentions if not mention.denied]
        sure = [mention for mention in left if mention.sure] or left
        labels = dict.fromkeys(mention.label for mention in sure)
        if len(labels) > 1 and self.summed >= 0:
            late = dict.fromkeys(each.label for each in sure if each.start >= self.summed)
            return late or labels
        return labels

    @property
    def denied(self) -> dict[str, None]:
        """The labels that are denied."""
        return dict.fromkeys(mention.label for mention in self.mentions if mention.denied)


def denied_after(tokens: Sequence[str], end: int, denials: Collection[str]) -> bool:
    """Whether "? No", ": false" or the like follows, and nothing goes on after it."""
    place = end
    while place < len(tokens) and tokens[place] in MARKUP and tokens[place] != "|":
        place += 1
    if place >= len(tokens) or tokens[place] not in _BETWEEN:
        return False
    place += 1
    while place < len(tokens) and tokens[place] in MARKUP:
        place += 1
    if place >= len(tokens) or tokens[place] not in denials:
        return False
    place += 1
    while place < len(tokens) and (tokens[place] in MARKUP or tokens[place] in _ADVERBS):
        place += 1
    return place >= len(tokens) or tokens[place] in ",.;!\n}—"


def is_more(tokens: Sequence[str], start: int) -> bool:
    """ "couldn't be happier": a comparative after a negated "be"."""
    return tokens[start].endswith("ier") and start > 0 and tokens[start - 1] in ("be", "been")


def _is_cited(tokens: Sequence[str], quote: int) -> bool:
    """Whether a text is said to read so: "the subtitle says 'happy birthday'"."""
    before = tokens[max(0, quote - 6) : quote]
    return not _SAYS.isdisjoint(before[-2:]) and not _TEXTS.isdisjoint(before)


def speech_in(tokens: Sequence[str]) -> list[tuple[int, int]]:
    """From and to of what is quoted and longer than a term."""
    found: list[tuple[int, int]] = []
    for sign in ('"', "'"):
        places = [place for place, token in enumerate(tokens) if token == sign]
        if len(places) == 2 and places[0] == 0 and places[1] == len(tokens) - 1:
            continue
        for first, last in zip(places[::2], places[1::2], strict=False):
            inside = tokens[first + 1 : last]
            words = [token for token in inside if token[0].isalnum()]
            if len(words) > _LONGEST_QUOTE:
                continue
            said = len(words) >= _LONG_QUOTE or not _SPEECH.isdisjoint(words)
            if said or _is_cited(tokens, first):
                found.append((first, last))
    return found
