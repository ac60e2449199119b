"""The words around a label, as data: `tables/grammar.txt` says what each role does.

English and Chinese ones hold for every answer; those of a language in `OTHERS` for rows that are
asked in it, so that no answer in English is read otherwise because it quotes such a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from affect_mllm.eval.read.normal import table
from affect_mllm.eval.read.tokens import END, Node, Phrases, tokens_of

OTHERS = ("de",)  # a table grammar_LANGUAGE.txt each
_PART = re.compile(r"\{([^{}]*)\}|\[([^\[\]]*)\]")


@dataclass(frozen=True)
class Role:
    """What a phrase of the grammar does; `opening`: only where a clause begins."""

    name: str
    opening: bool = False


COMMA, STOP, COLON, ASKED, QUOTE, BRACKET = (
    Role(name) for name in ("comma", "stop", "colon", "asked", "quote", "bracket")
)
_SIGNS = {
    ",": COMMA, ".": STOP, "!": STOP, "\n": STOP, "。": STOP, ";": STOP, ":": COLON,
    "?": ASKED, '"': QUOTE, "'": QUOTE, "(": BRACKET,
}  # fmt: skip


Tokens = tuple[str, ...]
Chain = list[list[Tokens]]  # the choices at each place of a phrase, one after the other


def grammar(language: str = "") -> Phrases:
    """Every phrase with its Role, and the signs between clauses; with those of a language."""
    return _of(language if language in OTHERS else "")


@lru_cache(maxsize=1 + len(OTHERS))
def _of(language: str) -> Phrases:
    """The phrases of one table or two.

    They are half a million when their choices are multiplied out, so they are not: the phrases
    make one automaton, whose nodes are shared by all that go on alike.
    """
    more = _phrases(f"grammar_{language}.txt") if language else ()
    return _automaton([*_phrases("grammar.txt"), *more, *_SIGNS.items()])


def _automaton(phrases: Iterable[tuple[str, Role]]) -> Phrases:
    return Phrases.of(_Automaton([(_chain(phrase), role) for phrase, role in phrases]).start)


class _Automaton:
    """The nodes of a `Phrases` from chains (subset construction); of equal phrases the last counts.

    A state is a chain's number, a place in it, and the tokens that are left of a choice there; at
    the place after its last one a chain is complete.
    """

    def __init__(self, chains: list[tuple[Chain, Role]]) -> None:
        self.chains = chains
        self.nodes: dict[frozenset[tuple[int, int, Tokens]], Node] = {}
        first = {state for number in range(len(chains)) for state in self._states(number, 0)}
        self.start = self._node(frozenset(first))
        self.start.pop(END, None)

    def _states(self, number: int, place: int) -> Iterator[tuple[int, int, Tokens]]:
        """Where a chain can stand when it has come to `place`."""
        chain = self.chains[number][0]
        if place == len(chain):
            yield number, place, ()
            return
        for choice in chain[place]:
            yield from ([(number, place, choice)] if choice else self._states(number, place + 1))

    def _node(self, states: frozenset[tuple[int, int, Tokens]]) -> Node:
        if states in self.nodes:
            return self.nodes[states]
        node = self.nodes[states] = {}
        following: dict[str, set[tuple[int, int, Tokens]]] = {}
        for number, place, (token, *rest) in (state for state in states if state[2]):
            after = [(number, place, tuple(rest))] if rest else self._states(number, place + 1)
            following.setdefault(token, set()).update(after)
        node |= {token: self._node(frozenset(each)) for token, each in following.items()}
        complete = [number for number, _, left in states if not left]
        if complete:
            node[END] = self.chains[max(complete)][1]
        return node


def _phrases(name: str) -> Iterator[tuple[str, Role]]:
    lists: dict[str, str] = {}
    for line in table(name):
        if line.startswith("$"):
            key, _, words = line.partition("=")
            lists[key.strip()] = words.strip()
            continue
        key, _, phrases = line.partition(": ")
        role = Role(key.removesuffix("^"), key.endswith("^"))
        for phrase in re.split(r"\s\|\s(?![^{]*\})", phrases):
            yield _filled(phrase, lists), role


def _filled(phrase: str, lists: dict[str, str]) -> str:
    while "$" in phrase:
        phrase = re.sub(r"\$(\w+)", lambda match: lists["$" + match[1]], phrase)
    return phrase


def _chain(phrase: str) -> Chain:
    """The choices of a phrase, place by place; parts that join to one token are one place."""
    if phrase in "()[]{}" or not _PART.search(phrase):
        return [[tuple(tokens_of(phrase))]]
    places: list[list[str]] = []
    for part in _parts(phrase):
        if places and _joined(places[-1], part):
            part = ["".join(pair) for pair in product(places.pop(), part)]
        places.append(part)
    return [list(dict.fromkeys(tuple(tokens_of(each)) for each in place)) for place in places]


def _parts(phrase: str) -> Iterator[list[str]]:
    """The texts and the choices of a phrase in order."""
    place = 0
    for match in _PART.finditer(phrase):
        yield [phrase[place : match.start()]]
        choices = (match[1] if match[1] is not None else match[2]).split("|")
        yield [*choices, *([""] if match[1] is None else [])]
        place = match.end()
    yield [phrase[place:]]


def _joined(first: list[str], second: list[str]) -> bool:
    """Whether one's end and the other's beginning may be parts of one token."""
    return any(
        tokens_of(one + other) != tokens_of(one) + tokens_of(other)
        for one, other in product(first, second)
    )
