"""Our own emotion-wheel tables: published taxonomies and a word list, `tables/*.txt`, version 2.

A label is looked up as it is, then by its lemma (simplemma), then without what only says how much
or that it is a feeling ("slightly", "sense of", "emotions"). A label that the list does not have
is a class of its own in every map, so that it matches itself and nothing else, and no sample is
left out. `coverage` says what the list lacks, `tables/choices.txt` where a place is a choice.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Literal

from affect_mllm.eval.emotion_wheel.tables import Classes, WheelTables

VERSION = "2"
WHEELS = ("goemotions", "plutchik", "parrott")
Polarity = Literal["+", "-", "0"]
# What stands around an emotion word without changing which one it is. No word that denies.
_DEGREES = (
    "an? the very slight(?:ly)? mild(?:ly)? weak(?:ly)? moderate(?:ly)? strong(?:ly)? deep(?:ly)? "
    "extreme(?:ly)? intense(?:ly)? quite rather really so somewhat too more relatively "
    "emotional(?:ly)? overwhelming feel(?:s|ing)? being some with"
)
_AROUND = re.compile(
    rf"^(?:(?:{_DEGREES.replace(' ', '|')}|a bit|a little|mixed with) "
    r"|(?:sense|feelings?|state|signs?|expression|mood|bit|hint|one) of )+"
    r"|(?: (?:emotion|emotional|feeling|mood|attitude|state|sentiment|tone|expression)s?)+$"
)

# An underscore, and what is in brackets unless it denies: "(not) happy", "anger (absent)".
_BRACKETS = re.compile(
    r"_|\((?!(?:[^()]*\b)?(?:not?|non|never|un|in|im|dis|absent|missing|without|less|lack\w*|longer)\b)"
    r"[^()]*\)"
)


@dataclass(frozen=True)
class Sense:
    """One meaning: its place in each of WHEELS, its polarity, and its words with their forms."""

    name: str
    branches: tuple[str, ...]
    polarity: Polarity
    words: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Coverage:
    """How many labels there are, how many the list has, and how many with a family on a wheel.

    `lacking` holds the most frequent ones that it does not have, with their counts.
    """

    labels: int
    found: int
    placed: int
    lacking: tuple[tuple[str, int], ...]


@lru_cache(maxsize=1)
def senses() -> tuple[Sense, ...]:
    """Every sense of the word list, in its order."""
    return tuple(_sense(line) for line in rows_of("words.txt"))


@lru_cache(maxsize=1)
def forms() -> dict[str, tuple[str, Sense]]:
    """Word form → its base form and sense. A form stands once in the list."""
    return {form: (word[0], sense) for sense in senses() for word in sense.words for form in word}


@lru_cache(maxsize=1)
def everyday() -> frozenset[str]:
    """Words that running text often has without naming an emotion, and all without a family."""
    acts = (sense for sense in senses() if not _has_family(sense))
    said = {form for sense in acts for word in sense.words for form in word}
    return frozenset(said | {word for line in rows_of("everyday.txt") for word in line[0].split()})


@lru_cache(maxsize=1)
def own_tables() -> WheelTables:
    """The tables as the set metrics read them."""
    root_of = roots()
    names = [f"{wheel}_level{level}" for wheel in WHEELS for level in (1, 2)]

    def find(label: str) -> Classes:
        key = normal(label)
        known = look_up(key)
        if known is None:
            return (f"={key}",) * (2 + len(names)) if key else ("",) * (2 + len(names))
        base, sense = known
        places: list[str] = []
        for wheel, branch in zip(WHEELS, sense.branches, strict=True):
            own = f"={sense.name}"  # a sense without a place on a wheel matches itself alone
            places += [own, own] if branch == "-" else [root_of[wheel][branch], branch]
        return (base, sense.name, *places)

    return WheelTables("affect_mllm", VERSION, ("form", "sense", *names), find)


def look_up(label: str) -> tuple[str, Sense] | None:
    """Base form and sense of a normalised label; None if the list does not have it.

    The first that is listed of the label, its lemma, and both without what stands around the word.
    """
    known = listed(label)
    if known is not None or not label:
        return known
    plain = spaced(_BRACKETS.sub(" ", label))
    return listed(plain) or listed(_AROUND.sub("", _AROUND.sub("", plain)))


def listed(label: str) -> tuple[str, Sense] | None:
    """Base form and sense of a normalised label or of its lemma, as it is."""
    known = forms().get(label)
    if known is not None or not label or not label.isascii() or " " in label:
        return known
    from simplemma import lemmatize

    return forms().get(lemmatize(label, lang="en").lower())


def normal(label: str) -> str:
    """Lower-cased and stripped, in Unicode NFKC with a plain apostrophe and single spaces."""
    return spaced(unicodedata.normalize("NFKC", label).replace("’", "'").lower())


def spaced(text: str) -> str:
    """The text with single spaces, none at its ends."""
    return " ".join(text.split())


def coverage(labels: Iterable[str], *, shown: int = 20) -> Coverage:
    """How much of `labels` the word list has."""
    counts = Counter(map(normal, labels))
    senses_of = {label: known and known[1] for label in counts for known in [look_up(label)]}
    lacking = {label: n for label, n in counts.items() if senses_of[label] is None}
    placed = sum(n for label, n in counts.items() if _has_family(senses_of[label]))
    order = sorted(lacking.items(), key=lambda item: (-item[1], item[0]))
    total = sum(counts.values())
    return Coverage(total, total - sum(lacking.values()), placed, tuple(order[:shown]))


def _has_family(sense: Sense | None) -> bool:
    return sense is not None and set(sense.branches) != {"-"}


def _sense(line: list[str]) -> Sense:
    name, *branches, polarity, words = line
    groups = tuple(tuple(map(normal, group.split(","))) for group in words.split("|"))
    for wheel, branch in zip(WHEELS, branches, strict=True):
        if branch != "-" and branch not in roots()[wheel]:
            raise ValueError(f"words.txt, {name}: {wheel} has no {branch}")
    if polarity == "+":
        return Sense(name, tuple(branches), "+", groups)
    return Sense(name, tuple(branches), "-" if polarity == "-" else "0", groups)


@lru_cache(maxsize=1)
def roots() -> dict[str, dict[str, str]]:
    """Wheel → branch → root."""
    found: dict[str, dict[str, str]] = {wheel: {} for wheel in WHEELS}
    for wheel, root, branches in rows_of("wheels.txt"):
        found[wheel] |= {branch.strip(): root for branch in branches.split(",")}
    return found


def rows_of(name: str) -> Iterator[list[str]]:
    """The cells of each line of a table, without comments."""
    text = files("affect_mllm.eval.emotion_wheel").joinpath("tables", name).read_text("utf-8")
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            yield [cell.strip() for cell in line.split(";")]
