"""What the pages have in common: their templates' folder, and how numbers are written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from affect_mllm.eval.report.data import is_percent


def environment() -> Any:
    """The jinja environment of the pages: all texts are escaped, what is undefined is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("affect_mllm.eval.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "pct": _percent,
        "p": p_value,
        "short": _short,
        "clock": _clock,
        "pretty": _pretty,
        "shown": shown,
        "interval": interval,
        "signed": signed,
        "is_percent": is_percent,
    }
    return made


def shown(value: float | None, metric: str) -> str:
    """A metric's value: percent of its range, or a plain number where it has the task's unit."""
    if value is None:
        return "–"
    return _percent(value) if is_percent(metric) else f"{value:.3f}"


def interval(found: Mapping[str, Any], metric: str) -> str:
    """The ends of a metric's interval, in percent without the sign or in the task's unit."""
    low, high = found["ci_low"], found["ci_high"]
    if low is None or high is None:
        why = found.get("interval") or found.get("method") or ""
        return "no interval" + (": one group" if "one group" in why else "")
    return f"{100 * low:.1f}–{100 * high:.1f}" if is_percent(metric) else f"{low:.3f}–{high:.3f}"


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def p_value(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _short(value: Any) -> str:
    """A number with few digits, anything else as it is."""
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _pretty(value: Any) -> str:
    """A nested value as indented JSON, a plain one as it is."""
    if isinstance(value, dict | list):
        return json.dumps(value, indent=2, ensure_ascii=False)
    return str(value)


def signed(value: float | None, metric: str) -> str:
    """A difference with its sign: in percentage points of a share, else in the task's unit."""
    if value is None:
        return "–"
    return f"{100 * value:+.1f}" if is_percent(metric) else f"{value:+.3f}"
