"""Subtitles whose wording carries the cue: parts of `sentences.py` put together, pool by pool."""

from __future__ import annotations

from itertools import product

import numpy as np

from .sentences import PARTS

POOLS = ("train", "val", "test")


def parts(group: str, pool: str) -> tuple[list[str], list[str], list[str]]:
    """Openings, fillers and endings of a wording group in one pool; the pools share none."""
    index = POOLS.index(pool)
    openings, fillers, endings = PARTS[group]
    return (
        _lines(openings.split("--")[index]),
        [filler.strip() for filler in fillers.split("--")[index].split(",")],
        _lines(endings.split("--")[index]),
    )


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def sentences(group: str, pool: str) -> list[str]:
    """Every subtitle of a wording group in one pool."""
    return [f"{a.format(x=x)} {b}" for a, x, b in product(*parts(group, pool))]


class Deck:
    """Draws the sentences of a group without repeating one before all have been drawn."""

    def __init__(self, group: str, split: str, *, seed: int) -> None:
        pool = split if split in POOLS else "test"
        self._cards = sentences(group, pool)
        salt = [*split.encode(), 0, *group.encode()]
        self._order = np.random.default_rng([seed, *salt]).permutation(len(self._cards))
        self._next = 0

    def draw(self) -> str:
        """The next sentence."""
        card = self._cards[int(self._order[self._next % len(self._order)])]
        self._next += 1
        return card
