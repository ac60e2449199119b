"""Every metric by name; a task names those it reports."""

from __future__ import annotations

from affect_mllm.eval.metrics import (
    calibration,
    claims,
    classes,
    judged,
    open_set,
    overlap,
    pairs,
    publishers,
    sets,
    shares,
    short,
    together,
    toolkits,
    values,
    verdicts,
)
from affect_mllm.eval.metrics.base import Metric

METRICS: dict[str, Metric] = (
    classes.METRICS
    | sets.METRICS
    | open_set.METRICS
    | values.METRICS
    | calibration.METRICS
    | claims.METRICS
    | judged.METRICS
    | overlap.METRICS
    | pairs.METRICS
    | shares.METRICS
    | short.METRICS
    | together.METRICS
    | verdicts.METRICS
    | toolkits.METRICS
    | publishers.METRICS
)


def metrics_of(kind: str) -> list[str]:
    """The names of the metrics that tasks of `kind` may report, sorted."""
    return sorted(name for name, metric in METRICS.items() if kind in metric.kinds)
