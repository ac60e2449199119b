"""Words of a folded text in one pass, and phrases found among them by a dictionary of forms."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

# A word, a number, one Chinese character, an arrow, a dash between spaces, a sign, a new line.
_TOKEN = re.compile(
    r"[^\W\d_㐀-鿿]+(?:'[^\W\d_㐀-鿿]+)*|\d+(?:[.,]\d+)*|[㐀-鿿]"
    r"|-+>|=>| [-–—]+ |--+|[^\w\s]|_|\n"
)
END = ""  # the key of a phrase's meaning in a node of the dictionary
Node = dict[str, Any]


class Found(NamedTuple):
    """A phrase of the text: its meaning, and the tokens from `start` to before `end`."""

    meaning: Any
    start: int
    end: int


_found = tuple.__new__  # what Found(…) calls, without its wrapper: this is the innermost loop


def tokens_of(text: str) -> list[str]:
    """The tokens of a folded text; a dash between spaces is "—"."""
    found = _TOKEN.findall(text)
    return ["—" if token[0] == " " else token for token in found] if " -" in text else found


class Phrases:
    """Phrases, as texts or as tokens, and what each means: the longest one at a place counts."""

    def __init__(self, phrases: Iterable[tuple[str | tuple[str, ...], Any]]) -> None:
        self.first: Node = {}
        for phrase, meaning in phrases:
            node = self.first
            for token in tokens_of(phrase) if isinstance(phrase, str) else phrase:
                node = node.setdefault(token, {})
            if node is not self.first:
                node[END] = meaning

    @classmethod
    def of(cls, first: Node) -> Phrases:
        """The same of nodes that are made: by token the next node, at END a meaning."""
        found = cls([])
        found.first = first
        return found

    def at(
        self, tokens: Sequence[str], start: int, keeps: Callable[[Any, int], bool] | None = None
    ) -> tuple[int, Any]:
        """Where the longest phrase that begins at `start` ends, and its meaning, or (start, None).

        `keeps(meaning, start)` says which phrases may count.
        """
        node = self.first.get(tokens[start])
        end, meaning, place = start, None, start + 1
        while node is not None:
            if END in node and (keeps is None or keeps(node[END], start)):
                end, meaning = place, node[END]
            node = node.get(tokens[place]) if place < len(tokens) else None
            place += 1
        return end, meaning


def scan(
    tokens: Sequence[str],
    words: Phrases,
    grammar: Phrases,
    *,
    keeps: Callable[[Any, int], bool],
) -> list[Found]:
    """Phrases of both dictionaries in the order of the text, none overlapping another.

    Where both have one at a place the longer counts, of equal ones that of `words`. `keeps` says
    of a phrase of the grammar whether its meaning holds at its place.
    """
    starts, others = words.first, grammar.first
    found: list[Found] = []
    after, last = 0, len(tokens) - 1
    for start, token in enumerate(tokens):
        if start < after:
            continue
        node, other = starts.get(token), others.get(token)
        if node is None and other is None:
            continue
        following = tokens[start + 1] if start < last else None
        end, meaning = start, None
        # Most words are phrases of one word or open none that goes on: no search for the longest.
        if node is not None:
            if following in node:
                end, meaning = words.at(tokens, start)
            elif END in node:
                end, meaning = start + 1, node[END]
        if other is not None:
            if following in other:
                other_end, role = grammar.at(tokens, start, keeps)
                if other_end > end:
                    end, meaning = other_end, role
            elif end == start and END in other and keeps(other[END], start):
                end, meaning = start + 1, other[END]
        if meaning is not None:
            found.append(_found(Found, (meaning, start, end)))
            after = end
    return found
