"""What a run found, as lines on stderr with the rest of the progress."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from affect_mllm.eval.generate.usage import usage_line
from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.probe.beside import PROBE
from affect_mllm.eval.score.forgetting import SIDES
from affect_mllm.log import LOGGER


def say(summary: Mapping[str, Any]) -> None:
    """A line for each variant, and one for each that was asked in other ways."""
    for name, variant in summary["variants"].items():
        metric, found = next(iter(variant["metrics"].items()))
        ceiling = variant["ceiling"]
        LOGGER.info(
            "%-16s %s %s [%s]  n %d  unparsed %d%s",
            name,
            metric,
            "none" if found["value"] is None else f"{found['value']:.3f}",
            found["interval"]
            if found["ci_low"] is None
            else f"{found['ci_low']:.3f}, {found['ci_high']:.3f}",
            found["n"],
            found["n_unparsed"],
            "" if ceiling is None else f"  ceiling {ceiling:.3f}",
        )
    for line in beside_probe(summary):
        LOGGER.info("%s", line)
    for name, usage in summary["usage"].items():
        LOGGER.info("%s", usage_line(name, usage))
    for kind in ("wordings", "repeats"):
        for name, scored in summary[kind].items():
            LOGGER.info("%s", "; ".join(_again(kind, name, scored)))


def beside_probe(summary: Mapping[str, Any]) -> Iterator[str]:
    """How the reference stands against the linear probe beside it, and what to do if below."""
    found = [row for row in summary["comparisons"] if row["other"] == PROBE]
    for row in found:
        metric, name = row["metric"], row["metric"]["name"]
        if metric["value"] is None:
            continue
        low, high = metric["ci_low"], metric["ci_high"]
        ends = "no interval" if low is None else f"{low:+.3f}, {high:+.3f}"
        yield (
            f"against a linear probe of the same frozen states: {name} {metric['value']:+.3f} "
            f"[{ends}], paired, n {row['n']}"
        )
        if (metric["value"] > 0) if METRICS[name].scale == "error" else (metric["value"] < 0):
            sure = low is not None and (low > 0 or high < 0)
            yield (
                f"the model is below the probe{'' if sure else ', if not surely'}: its clips say "
                "more than it answers. Where it has one (MediaLabels, a label among classes), its "
                "head (answer_by=head) shows whether the connectors or the LLM lose it, and "
                "`affect-mllm probe` whether other layers or encoders tell more"
            )


def changed(row: Mapping[str, Any]) -> Iterator[str]:
    """A row of `score.forgetting` in words."""
    yield f"{row['run']} against {row['before']}"
    for side in SIDES:
        found = row[side]
        if found is None:
            yield f"{side}: nothing to compare"
            continue
        low, high = found["ci_low"], found["ci_high"]
        ends = "no interval" if low is None else f"{low:+.3f}, {high:+.3f}"
        names = "".join(f", {way} {' '.join(found[way])}" for way in ("won", "lost") if found[way])
        yield f"{side} {found['value']:+.3f} [{ends}] of {found['benchmarks']}{names}"
    if left := [each["benchmark"] for each in row["rows"] if not each["counted"]]:
        yield f"left out {' '.join(left)}"


def _again(kind: str, variant: str, scored: Mapping[str, Any]) -> Iterator[str]:
    yield f"{len(scored['rows'])} {kind} of {variant}, {scored['metric']}"
    if scored["spread"] is None:
        yield "no value"
        return
    for place in ("best", "worst"):
        yield f"{place} {scored[place]['name']} {scored[place]['value']:.3f}"
    spread = scored["spread"]
    sd = "" if spread["sd"] is None else f", standard deviation {spread['sd']:.3f}"
    yield f"range {spread['range']:.3f}{sd}"
