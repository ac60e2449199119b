"""The word list was placed twice; how far the two placements agree (Cohen's kappa).

The first placement made the senses of `tables/words.txt` and put words into them. The second,
`tables/second.txt`, took the words one by one in alphabetical order and placed each on the wheels
by its meaning alone. Both are by one author: the agreement says how far the places follow from the
words, not how far people would agree. Where the comparison changed the list, `tables/choices.txt`
keeps what the first placement had, so that the agreement is that of the placements as they were
made.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from affect_mllm.eval.emotion_wheel import own


@dataclass(frozen=True)
class Choice:
    """A word whose place is a choice: its sense, the one it was placed in at first, and why."""

    word: str
    sense: str
    first: str
    why: str


# A word's place on each of own.WHEELS ("-": none), then its polarity.
Place = tuple[str, ...]


@lru_cache(maxsize=1)
def choices() -> tuple[Choice, ...]:
    """Every choice of `choices.txt`; ValueError for a line whose columns do not fit together."""
    found = []
    for words, senses, first, *why in own.rows_of("choices.txt"):
        each = words.split(", ")
        now, before = _as_many(senses, each), _as_many(first, each)
        rows = zip(each, now, before, strict=True)
        found += [
            Choice(word, new, new if old == "=" else old, "; ".join(why)) for word, new, old in rows
        ]
    return tuple(found)


def first_placement() -> dict[str, Place]:
    """Base form → its place, as first made."""
    places: dict[str, Place] = {}
    by_name: dict[str, Place] = {}
    for sense in own.senses():
        place = (*sense.branches, sense.polarity)
        by_name.setdefault(sense.name, place)
        places |= dict.fromkeys((word[0] for word in sense.words), place)
    moved = {choice.word: by_name[choice.first] for choice in choices() if _is_moved(choice)}
    return {word: moved.get(word, place) for word, place in places.items()}


def second_placement() -> dict[str, Place]:
    """Base form → its place of `second.txt`."""
    return {
        own.normal(word): tuple(place)
        for *place, words in own.rows_of("second.txt")
        for word in words.split("|")
    }


def agreement() -> dict[str, float]:
    """Cohen's kappa of the two placements, by wheel and level and for the polarity."""
    from sklearn.metrics import cohen_kappa_score

    first, second = first_placement(), second_placement()
    words = sorted(first.keys() & second.keys())
    found: dict[str, float] = {}
    for at, wheel in enumerate(own.WHEELS):
        root_of = {"-": "-"} | own.roots()[wheel]
        pairs = [(first[word][at], second[word][at]) for word in words]
        roots = [(root_of[a], root_of[b]) for a, b in pairs]
        for level, rows in (("level1", roots), ("level2", pairs)):
            found[f"{wheel}_{level}"] = float(cohen_kappa_score(*zip(*rows, strict=True)))
    signs = [(first[word][-1], second[word][-1]) for word in words]
    return found | {"polarity": float(cohen_kappa_score(*zip(*signs, strict=True)))}


def differences() -> dict[str, tuple[Place, Place]]:
    """Base form → both places, where they differ in a family or in the polarity."""
    first, second = first_placement(), second_placement()
    return {
        word: (first[word], second[word])
        for word in sorted(first.keys() & second.keys())
        if _families(first[word]) != _families(second[word])
    }


def _families(place: Place) -> Place:
    roots = own.roots()
    branches = zip(own.WHEELS, place[:-1], strict=True)
    return (*(roots[wheel].get(branch, branch) for wheel, branch in branches), place[-1])


def _is_moved(choice: Choice) -> bool:
    return choice.first != choice.sense


def _as_many(cell: str, words: list[str]) -> list[str]:
    """One name for all words, or one for each."""
    names = cell.split(", ")
    if len(names) not in (1, len(words)):
        raise ValueError(f"choices.txt: {len(names)} of {cell!r} for {words}")
    return names * len(words) if len(names) == 1 else names
