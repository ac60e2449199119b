"""The page of `affect-mllm probe`: a line by layer for each encoder, pooling and probe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affect_mllm.eval.report.charts import Bar, bars, lines
from affect_mllm.eval.report.html import environment


def page(told: Mapping[str, Any]) -> str:
    """One self-contained HTML page of what the command found."""
    metric = next(iter(told["rows"][0]["metrics"]))
    sources: dict[str, list[dict[str, Any]]] = {}
    for row in told["rows"]:
        sources.setdefault(row["source"], []).append(row)
    curves = [
        lines(_curves(rows, metric), title=f"{source}: {metric}", unit="layer", y_max=1.0)
        for source, rows in sources.items()
        if len({row["layer"] for row in rows}) > 1
    ]
    return (
        environment()
        .get_template("probe.html.j2")
        .render(told=told, metric=metric, curves=curves, top=_tops(sources, metric))
    )


def _curves(rows: list[dict[str, Any]], metric: str) -> dict[str, list[tuple[float, float]]]:
    """(place of the layer, value) of each pooling and probe."""
    places = {layer: place for place, layer in enumerate(dict.fromkeys(r["layer"] for r in rows))}
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        value = row["metrics"][metric]["value"]
        if value is not None:
            name = f"{row['probe']}, {row['pool']}"
            found.setdefault(name, []).append((float(places[row["layer"]]), float(value)))
    return found


def _tops(sources: Mapping[str, list[dict[str, Any]]], metric: str) -> Any:
    """A bar for the best row of each source."""
    items = []
    for source, rows in sources.items():
        top = max(rows, key=lambda row: row["metrics"][metric]["value"] or -1.0)
        found = top["metrics"][metric]
        layer = top["layer"] and f"layer {top['layer']}"
        parts = [layer, top["pool"], top["probe"] if top["probe"] != "none" else ""]
        told = ", ".join(filter(None, parts))
        label = f"{source} ({told})" if told else source
        kind = "base" if source == "majority" else "plain"
        items.append(
            Bar(label, found["value"] or 0.0, found["ci_low"], found["ci_high"], kind=kind)
        )
    return bars(items, title=f"{metric}: the best of each")
