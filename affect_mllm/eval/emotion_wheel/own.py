"""Our own emotion-wheel tables: published taxonomies and a word list, `tables/*.txt`, version 1.

A label is looked up as it is, then by its lemma (simplemma). A label that the list does not have
is a class of its own in every map, so that it matches itself and nothing else, and no sample is
left out. `coverage` and `ambiguities` say what the list lacks and where it had to choose.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Literal

from affect_mllm.eval.emotion_wheel.tables import Classes, WheelTables

VERSION = "1"
WHEELS = ("goemotions", "plutchik", "parrott")
Polarity = Literal["+", "-", "0"]


@dataclass(frozen=True)
class Sense:
    """One meaning: its place in each of WHEELS, its polarity, and its words with their forms."""

    name: str
    branches: tuple[str, ...]
    polarity: Polarity
    words: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Coverage:
    """How many of the labels the list has, and the most frequent ones that it lacks."""

    labels: int
    found: int
    lacking: tuple[tuple[str, int], ...]


@lru_cache(maxsize=1)
def senses() -> tuple[Sense, ...]:
    """Every sense of the word list, in its order."""
    return tuple(_sense(line) for line in _lines("words.txt"))


@lru_cache(maxsize=1)
def forms() -> dict[str, tuple[str, Sense]]:
    """Word form → its base form and sense; the first sense of an ambiguous one."""
    found: dict[str, tuple[str, Sense]] = {}
    for sense in senses():
        for word in sense.words:
            for form in word:
                found.setdefault(form, (word[0], sense))
    return found


@lru_cache(maxsize=1)
def everyday() -> frozenset[str]:
    """Words of the list that running text often has without naming an emotion."""
    return frozenset(word for line in _lines("everyday.txt") for word in line[0].split())


@lru_cache(maxsize=1)
def own_tables() -> WheelTables:
    """The tables as the set metrics read them."""
    roots = _roots()
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
            places += [own, own] if branch == "-" else [roots[wheel][branch], branch]
        return (base, sense.name, *places)

    return WheelTables("affect_mllm", VERSION, ("form", "sense", *names), find)


def look_up(label: str) -> tuple[str, Sense] | None:
    """Base form and sense of a normalised label, by its lemma where its form is not listed."""
    known = forms().get(label)
    if known is not None or not label or not label.isascii() or " " in label:
        return known
    from simplemma import lemmatize

    return forms().get(lemmatize(label, lang="en").lower())


def normal(label: str) -> str:
    """Lower-cased and stripped, in Unicode NFKC with a plain apostrophe and single spaces."""
    return " ".join(unicodedata.normalize("NFKC", label).replace("’", "'").lower().split())


def ambiguities() -> dict[str, tuple[str, ...]]:
    """Word forms that stand in several senses; the first of them is taken."""
    places: dict[str, list[str]] = {}
    for sense in senses():
        for form in {form for word in sense.words for form in word}:
            places.setdefault(form, []).append(sense.name)
    return {form: tuple(names) for form, names in sorted(places.items()) if len(names) > 1}


def coverage(labels: Iterable[str], *, shown: int = 20) -> Coverage:
    """How much of `labels` the word list has."""
    counts = Counter(map(normal, labels))
    lacking = {label: n for label, n in counts.items() if look_up(label) is None}
    order = sorted(lacking.items(), key=lambda item: (-item[1], item[0]))
    total = sum(counts.values())
    return Coverage(total, total - sum(lacking.values()), tuple(order[:shown]))


def _sense(line: list[str]) -> Sense:
    name, *branches, polarity, words = line
    groups = tuple(tuple(map(normal, group.split(","))) for group in words.split("|"))
    for wheel, branch in zip(WHEELS, branches, strict=True):
        if branch != "-" and branch not in _roots()[wheel]:
            raise ValueError(f"words.txt, {name}: {wheel} has no {branch}")
    if polarity == "+":
        return Sense(name, tuple(branches), "+", groups)
    return Sense(name, tuple(branches), "-" if polarity == "-" else "0", groups)


@lru_cache(maxsize=1)
def _roots() -> dict[str, dict[str, str]]:
    """Wheel → branch → root."""
    found: dict[str, dict[str, str]] = {wheel: {} for wheel in WHEELS}
    for wheel, root, branches in _lines("wheels.txt"):
        found[wheel] |= {branch.strip(): root for branch in branches.split(",")}
    return found


def _lines(name: str) -> Iterator[list[str]]:
    text = files("affect_mllm.eval.emotion_wheel").joinpath("tables", name).read_text("utf-8")
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            yield [cell.strip() for cell in line.split(";")]
