"""The words around a label, as data: `tables/grammar.txt` says what each role does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from affect_mllm.eval.read.normal import table
from affect_mllm.eval.read.tokens import Phrases

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


@lru_cache(maxsize=1)
def grammar() -> Phrases:
    """Every phrase of the table with its Role, and the signs between clauses."""
    return Phrases([*_phrases(), *_SIGNS.items()])


def _phrases() -> Iterator[tuple[str, Role]]:
    lists: dict[str, str] = {}
    for line in table("grammar.txt"):
        if line.startswith("$"):
            name, _, words = line.partition("=")
            lists[name.strip()] = words.strip()
            continue
        name, _, phrases = line.partition(": ")
        role = Role(name.removesuffix("^"), name.endswith("^"))
        for phrase in re.split(r"\s\|\s(?![^{]*\})", phrases):
            yield from ((each, role) for each in _expanded(_filled(phrase, lists)))


def _filled(phrase: str, lists: dict[str, str]) -> str:
    while "$" in phrase:
        phrase = re.sub(r"\$(\w+)", lambda match: lists["$" + match[1]], phrase)
    return phrase


def _expanded(phrase: str) -> Iterator[str]:
    """Every way to read the choices of a phrase."""
    if phrase in "()[]{}" or not _PART.search(phrase):
        yield phrase
        return
    parts: list[list[str]] = []
    place = 0
    for match in _PART.finditer(phrase):
        parts.append([phrase[place : match.start()]])
        choices = (match[1] if match[1] is not None else match[2]).split("|")
        parts.append([*choices, *([""] if match[1] is None else [])])
        place = match.end()
    parts.append([phrase[place:]])
    yield from ("".join(each) for each in product(*parts))
