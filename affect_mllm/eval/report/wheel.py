"""The report's emotion wheel: shares of true and of answered emotions by Plutchik's families."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

# Plutchik's order around the wheel (The nature of emotions, 2001), then what has no petal.
FAMILIES = (
    "joy",
    "trust",
    "fear",
    "surprise",
    "sadness",
    "disgust",
    "anger",
    "anticipation",
    "neutral",
    "other",
)
WIDTH, HEIGHT, INNER, OUTER = 440, 340, 26, 132
_STEP = 2 * math.pi / len(FAMILIES)


def families(labels: Iterable[Sequence[str]]) -> dict[str, float]:
    """Share of each family among samples' labels; a sample's labels share its weight.

    `other` holds words without a petal, and samples without any label.
    """
    from affect_mllm.eval.emotion_wheel.own import own_tables

    tables = own_tables()
    place = tables.maps.index("plutchik_level1")
    weights = dict.fromkeys(FAMILIES, 0.0)
    rows = 0
    for names in labels:
        rows += 1
        found = [tables.classes(name)[place] for name in names] or ["other"]
        for family in found:
            weights[family if family in FAMILIES else "other"] += 1 / len(found)
    return {family: weights[family] / max(rows, 1) for family in FAMILIES}


def wheel(true: Mapping[str, float], answered: Mapping[str, float], *, title: str) -> Markup:
    """Ten sectors with two wedges each: how far they reach is the share, rings mark it."""
    top = max([*true.values(), *answered.values(), 0.01])
    step = next(s for s in (0.05, 0.1, 0.2, 0.25, 0.5) if top <= 4 * s)
    ticks = [step * (i + 1) for i in range(math.ceil(top / step - 1e-9))]
    rings = Markup("").join(_ring(tick, ticks[-1]) for tick in ticks)
    marks = Markup("").join(_mark(tick, ticks[-1]) for tick in ticks)
    sectors = Markup("").join(
        _sector(i, name, (true[name], answered[name]), ticks[-1]) for i, name in enumerate(FAMILIES)
    )
    return Markup(
        '<figure class="wheel"><figcaption>{title}</figcaption>'
        '<svg viewBox="0 0 {w} {h}" role="img" aria-label="{title}">{rings}{sectors}{marks}</svg>'
        '<div class="legend"><span class="sw base">true</span>'
        '<span class="sw main">answered</span></div></figure>'
    ).format(title=title, w=WIDTH, h=HEIGHT, rings=rings, sectors=sectors, marks=marks)


def _sector(index: int, name: str, shares: tuple[float, float], top: float) -> Markup:
    start = index * _STEP - math.pi / 2
    parts = [
        _wedge(start + (0.08 + 0.42 * half) * _STEP, 0.42 * _STEP, share, top, kind)
        for half, (share, kind) in enumerate(zip(shares, ("base", "main"), strict=True))
    ]
    middle = start + _STEP / 2
    x, y = _point(middle, OUTER + 22)
    said = f"{name}: true {shares[0]:.1%}, answered {shares[1]:.1%}"
    return Markup(
        '<g><title>{}</title>{}<text x="{}" y="{}" text-anchor="middle">{}</text></g>'
    ).format(said, Markup("").join(parts), f"{x:.1f}", f"{y + 4:.1f}", name)


def _wedge(start: float, width: float, share: float, top: float, kind: str) -> Markup:
    far = _radius(share, top)
    path = sector((WIDTH / 2, HEIGHT / 2), (start, start + width), (INNER, far))
    return Markup('<path class="bar {}" d="{}"/>').format(kind, path)


def sector(
    centre: tuple[float, float], angles: tuple[float, float], radii: tuple[float, float]
) -> str:
    """SVG's path of a ring's part, from the first angle to the second (radians, clockwise from
    the right) and from the first radius to the second.
    """
    (a, b), (c, d), (e, f), (g, h) = (
        (centre[0] + radii[r] * math.cos(angles[at]), centre[1] + radii[r] * math.sin(angles[at]))
        for at, r in ((0, 0), (0, 1), (1, 1), (1, 0))
    )
    near, far = (f"{radius:.4g}" for radius in radii)
    return (
        f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}A{far} {far} 0 0 1 {e:.1f} {f:.1f}"
        f"L{g:.1f} {h:.1f}A{near} {near} 0 0 0 {a:.1f} {b:.1f}Z"
    )


def _radius(share: float, top: float) -> float:
    return INNER + (OUTER - INNER) * min(share / top, 1.0)


def _ring(tick: float, top: float) -> Markup:
    return Markup('<circle class="grid" cx="{}" cy="{}" r="{}" fill="none"/>').format(
        WIDTH / 2, HEIGHT / 2, f"{_radius(tick, top):.1f}"
    )


def _mark(tick: float, top: float) -> Markup:
    """A ring's share, on top of the wedges."""
    return Markup('<text x="{}" y="{}" text-anchor="middle" class="halo-text">{} %</text>').format(
        WIDTH / 2, f"{HEIGHT / 2 - _radius(tick, top) + 4:.1f}", f"{100 * tick:g}"
    )


def _point(angle: float, radius: float) -> tuple[float, float]:
    return WIDTH / 2 + radius * math.cos(angle), HEIGHT / 2 + radius * math.sin(angle)
