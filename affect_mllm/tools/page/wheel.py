"""Labels on Plutchik's wheel of emotions, drawn from our own emotion-wheel tables.

Eight petals of three intensities, stronger ones further out (Plutchik, The nature of emotions,
2001), and neutral in the middle. A label is a dot in its place, larger the likelier it is.
"""

from __future__ import annotations

import math
import string
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup

from affect_mllm.eval.report.wheel import sector
from affect_mllm.tools.page.palette import PETALS

WHEEL, MIDDLE = "plutchik", "neutral"
WIDTH, HEIGHT = 460, 340
CENTRE = (WIDTH / 2, HEIGHT / 2)
CORE, RING = 30, 36  # radii: of the middle, and how much wider each intensity is
LEAST, MOST = 8.0, 15.0  # radii of dots
_STEP = 2 * math.pi / len(PETALS)


@dataclass(frozen=True)
class Place:
    """Where a label stands: a petal (or the middle) and its intensity, 0 to 2."""

    petal: str
    ring: int

    @property
    def is_middle(self) -> bool:
        """Whether it is on no petal."""
        return self.petal == MIDDLE


@lru_cache(maxsize=1)
def places() -> dict[str, Place]:
    """Every branch of the wheel in our tables, where they list a petal's from weak to strong."""
    from affect_mllm.eval.emotion_wheel.own import roots

    branches: dict[str, list[str]] = {}
    for branch, petal in roots()[WHEEL].items():
        branches.setdefault(petal, []).append(branch)
    return {
        branch: Place(petal, ring)
        for petal, each in branches.items()
        for ring, branch in enumerate(each)
    }


def place_of(label: str) -> Place | None:
    """Where a label is on the wheel; None for a word that our tables have no place for."""
    from affect_mllm.eval.emotion_wheel.own import own_tables

    tables = own_tables()
    return places().get(tables.classes(label)[tables.maps.index(f"{WHEEL}_level2")])


@dataclass(frozen=True)
class Mark:
    """A label's dot: what stands in it, its share (None: not compared), if the answer says it."""

    text: str
    share: float | None
    is_said: bool


def marks(shares: Mapping[str, float], named: Collection[str] = ()) -> dict[str, Mark]:
    """Labels by their numbers, and then what only the answer says (`named`) by letters."""
    said = {label.casefold() for label in named}
    found = {
        label: Mark(str(number), share, label.casefold() in said)
        for number, (label, share) in enumerate(shares.items(), start=1)
    }
    letters = zip(_besides(shares, named), string.ascii_lowercase, strict=False)
    return found | {label: Mark(letter, None, True) for label, letter in letters}


def wheel(shares: Mapping[str, float], *, named: Collection[str] = ()) -> Markup:
    """The wheel as SVG, with a dot for each label of `marks` that has a place on it.

    Those that the answer says have a second ring.
    """
    petals = Markup("").join(_petal(at, name) for at, name in enumerate(PETALS))
    middle = Markup('<circle class="middle" cx="{:g}" cy="{:g}" r="{}"/>').format(*CENTRE, CORE)
    dots = _dots(marks(shares, named))
    return Markup(
        '<svg class="wheel" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(WIDTH, HEIGHT, _said(shares, named), petals + middle + dots)


def _said(shares: Mapping[str, float], named: Collection[str]) -> str:
    """The wheel in words."""
    each = [f"{label} {share:.0%}, {_where(label)}" for label, share in shares.items()]
    besides = [f"answered {label}, {_where(label)}" for label in _besides(shares, named)]
    return "; ".join(["emotion wheel", *each, *besides])


def _besides(shares: Mapping[str, float], named: Collection[str]) -> list[str]:
    """What the answer says and no label is, however it is capitalised."""
    known = {label.casefold() for label in shares}
    return [label for label in named if label.casefold() not in known]


def _where(label: str) -> str:
    place = place_of(label)
    return "not on the wheel" if place is None else place.petal


def _petal(at: int, name: str) -> Markup:
    """A petal's three rings and its name outside of them."""
    start = (at - 0.5) * _STEP - math.pi / 2
    rings = Markup("").join(
        Markup('<path class="ring{}" fill="{}" d="{}"><title>{}</title></path>').format(
            place.ring,
            PETALS[name],
            sector(CENTRE, (start, start + _STEP), (_radius(place.ring), _radius(place.ring + 1))),
            branch,
        )
        for branch, place in places().items()
        if place.petal == name
    )
    x, y = _point(start + _STEP / 2, _radius(3) + 12)
    side = "middle" if abs(x - CENTRE[0]) < 1 else "start" if x > CENTRE[0] else "end"
    text = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    return rings + text.format(x, y + 4, side, name)


def _dots(marked: Mapping[str, Mark]) -> Markup:
    """The dots of labels that have a place; those in one place stand side by side."""
    found: dict[Place, list[Mark]] = {}
    for label, mark in marked.items():
        place = place_of(label)
        if place is not None:
            found.setdefault(place if not place.is_middle else Place(MIDDLE, 0), []).append(mark)
    return Markup("").join(
        _dot(_spot(place, at, len(each)), mark)
        for place, each in found.items()
        for at, mark in enumerate(each)
    )


def _spot(place: Place, at: int, count: int) -> tuple[float, float]:
    """The middle of a place, or one of `count` equal parts of it."""
    part = (at + 0.5) / count - 0.5
    if place.is_middle:
        return CENTRE[0] + part * 2 * CORE, CENTRE[1]
    angle = list(PETALS).index(place.petal) * _STEP - math.pi / 2
    return _point(angle + part * _STEP, _radius(place.ring) + RING / 2)


def _dot(at: tuple[float, float], mark: Mark) -> Markup:
    """A dot whose area grows with the share, with its text."""
    share = min(max(mark.share or 0.0, 0.0), 1.0)
    radius = math.sqrt(LEAST**2 + (MOST**2 - LEAST**2) * share)
    ring = Markup('<circle class="said" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/>').format(
        *at, radius + 3
    )
    return Markup(
        '<g class="dot">{}<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/>'
        '<text x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text></g>'
    ).format(ring if mark.is_said else "", *at, radius, at[0], at[1] + 4, mark.text)


def _radius(ring: int) -> float:
    return CORE + RING * ring


def _point(angle: float, radius: float) -> tuple[float, float]:
    return CENTRE[0] + radius * math.cos(angle), CENTRE[1] + radius * math.sin(angle)
