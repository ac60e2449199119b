"""Inline SVG for the report: bars with intervals, lines, waveforms. Colours come from its CSS.

Every function returns Markup whose texts are escaped; nothing in it refers to another resource.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

WIDTH, HEIGHT = 420, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 12, 30
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Bar:
    """One bar: fractions in 0..1; `ceiling` is drawn as a mark; `kind` is main, plain or base.

    Without ends no whisker is drawn.
    """

    label: str
    value: float
    low: float | None
    high: float | None
    ceiling: float | None = None
    kind: str = "plain"


def bars(items: Sequence[Bar], *, title: str) -> Markup:
    """Horizontal bars with 95 % whiskers; widths in percent, so that texts keep their size."""
    rows = [_bar_row(item) for item in items]
    axis = Markup("").join(
        Markup('<span style="left:{}%">{} %</span>').format(tick, tick)
        for tick in range(0, 101, 25)
    )
    return Markup(
        '<div class="bars" role="group" aria-label="{}">{}<span></span>'
        '<div class="axis" aria-hidden="true">{}</div><span></span></div>'
    ).format(title, Markup("").join(rows), axis)


def lines(
    series: Mapping[str, Points], *, title: str, unit: str, y_max: float | None = None
) -> Markup:
    """A line for each named series of (step, value), with axes from 0 and a legend."""
    drawn = {name: [p for p in points if math.isfinite(p[1])] for name, points in series.items()}
    drawn = {name: points for name, points in drawn.items() if points}
    if not drawn:
        return Markup('<p class="absent">{}: no finite values.</p>').format(title)
    every = [point for points in drawn.values() for point in points]
    x_top = max(1.0, *(x for x, _ in every))
    ticks = nice_ticks(y_max if y_max is not None else max(y for _, y in every))
    paths = [_path(points, x_top, ticks[-1], index) for index, points in enumerate(drawn.values())]
    names = [
        Markup('<span class="key k{}">{}</span>').format(index % 8, name)
        for index, name in enumerate(drawn)
    ]
    legend = Markup('<div class="legend">{}</div>').format(Markup("").join(names))
    return Markup(
        "<figure><figcaption>{title}</figcaption>"
        '<svg viewBox="0 0 {w} {h}" role="img" aria-label="{title}">{axes}{paths}</svg>{legend}'
        "</figure>"
    ).format(
        title=title,
        w=WIDTH,
        h=HEIGHT,
        axes=_axes(ticks, x_top, unit),
        paths=Markup("").join(paths),
        legend=legend if len(drawn) > 1 else "",
    )


def waveform(samples: NDArray[np.float32], *, duration_s: float) -> Markup:
    """The envelope (least and greatest sample of each of 160 stretches) of a mono signal `[n]`."""
    if not len(samples):
        return Markup('<p class="absent">The sound is empty.</p>')
    edges = np.linspace(0, len(samples), min(160, len(samples)) + 1).astype(int)
    stretches = [samples[a:b] for a, b in itertools.pairwise(edges)]
    peak = max(float(np.abs(samples).max()), 1e-6)
    step = 320 / len(stretches)
    top = [(i * step, 24 - 22 * float(s.max()) / peak) for i, s in enumerate(stretches)]
    low = [(i * step, 24 - 22 * float(s.min()) / peak) for i, s in enumerate(stretches)]
    outline = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*top, *reversed(low)])
    return Markup(
        '<svg class="wave" viewBox="0 0 320 48" preserveAspectRatio="none" role="img" '
        'aria-label="waveform, {} s"><polygon points="{}"/></svg>'
    ).format(f"{duration_s:.1f}", outline)


def nice_ticks(top: float) -> list[float]:
    """About four round axis values from 0 to at least `top`."""
    if not top > 0:
        return [0.0, 1.0]
    raw = top / 4
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * (1 - 1e-9))
    return [step * i for i in range(math.ceil(top / step - 1e-9) + 1)]


def _bar_row(item: Bar) -> Markup:
    parts = [
        Markup('<rect class="bar {}" y="5" height="14" rx="3" width="{}"/>').format(
            item.kind, _percent(item.value)
        )
    ]
    said = f"{item.value:.1%}, no interval"
    if item.low is not None and item.high is not None:
        parts.append(
            Markup(
                '<line class="halo" x1="{low}" x2="{high}" y1="12" y2="12"/>'
                '<line class="whisker" x1="{low}" x2="{high}" y1="12" y2="12"/>'
            ).format(low=_percent(item.low), high=_percent(item.high))
        )
        said = f"{item.value:.1%}, 95 % interval {item.low:.1%} to {item.high:.1%}"
    if item.ceiling is not None:
        at = _percent(item.ceiling)
        parts.append(
            Markup('<line class="ceiling" x1="{}" x2="{}" y1="1" y2="23"/>').format(at, at)
        )
        said += f", ceiling {item.ceiling:.1%}"
    return Markup(
        '<span class="bar-label">{}</span><svg class="track" width="100%" height="24" role="img" '
        'aria-label="{}"><title>{}</title>{}</svg><span class="bar-value">{}</span>'
    ).format(item.label, said, said, Markup("").join(parts), f"{item.value:.1%}")


def _percent(value: float) -> str:
    return f"{100 * min(max(value, 0.0), 1.0):.2f}%"


def _x(step: float, x_top: float) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * step / x_top


def _y(value: float, y_top: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * min(max(value / y_top, 0.0), 1.0)


def _path(points: Points, x_top: float, y_top: float, index: int) -> Markup:
    text = " ".join(f"{_x(x, x_top):.1f},{_y(y, y_top):.1f}" for x, y in points)
    return Markup('<polyline class="line k{}" points="{}"/>').format(index % 8, text)


def _axes(ticks: Sequence[float], x_top: float, unit: str) -> Markup:
    parts: list[Markup] = []
    for tick in ticks:
        y = _y(tick, ticks[-1])
        parts.append(
            Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{y}" y2="{y}"/>'
                '<text x="{}" y="{}" text-anchor="end">{}</text>'
            ).format(_LEFT, WIDTH - _RIGHT, _LEFT - 6, f"{y + 4:.1f}", f"{tick:g}", y=f"{y:.1f}")
        )
    for tick in [t for t in nice_ticks(x_top) if t <= x_top]:
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
                f"{_x(tick, x_top):.1f}", HEIGHT - 12, f"{tick:g}"
            )
        )
    parts.append(
        Markup('<text x="{}" y="{}" text-anchor="end" class="unit">{}</text>').format(
            WIDTH - _RIGHT, HEIGHT - 3, escape(unit)
        )
    )
    return Markup("").join(parts)


@dataclass(frozen=True)
class Gap:
    """A difference with its interval; `said` is its text. Without ends no whisker is drawn."""

    label: str
    value: float
    low: float | None
    high: float | None
    said: str


def gaps(items: Sequence[Gap], *, title: str, tick: Callable[[float], str]) -> Markup:
    """Differences with whiskers to both sides of zero, on one scale, whose ends `tick` writes."""
    ends = [abs(x) for g in items for x in (g.value, g.low, g.high) if x is not None]
    top = nice_ticks(max(ends, default=0.0))[-1]
    marks = [(0, tick(-top)), (50, "0"), (100, tick(top))]
    axis = [Markup('<span style="left:{}%">{}</span>').format(*mark) for mark in marks]
    return Markup(
        '<div class="bars" role="group" aria-label="{}">{}<span></span>'
        '<div class="axis gaps" aria-hidden="true">{}</div><span></span></div>'
    ).format(title, Markup("").join(_gap_row(item, top) for item in items), Markup("").join(axis))


def _gap_row(item: Gap, top: float) -> Markup:
    def at(value: float) -> str:
        return _percent(0.5 + value / top / 2)

    whisker = Markup("")
    if item.low is not None and item.high is not None:
        whisker = Markup('<line class="whisker" x1="{}" x2="{}" y1="12" y2="12"/>').format(
            at(item.low), at(item.high)
        )
    return Markup(
        '<span class="bar-label">{label}</span><svg class="track" width="100%" height="24" '
        'role="img" aria-label="{said}"><title>{said}</title>'
        '<line class="zero" x1="50%" x2="50%" y1="0" y2="24"/>{whisker}'
        '<circle class="dot" cx="{at}" cy="12" r="5"/></svg><span class="bar-value">{said}</span>'
    ).format(label=item.label, said=item.said, whisker=whisker, at=at(item.value))
