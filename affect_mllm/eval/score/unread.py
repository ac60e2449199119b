"""How far a number could move with the answers that were not read: all wrong, or all right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from affect_mllm.eval.metrics import calibration, judged
from affect_mllm.eval.metrics.base import Metric, counts
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.metrics.intervals import none_of
from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.predictions import Prediction


def bounds(read: Read, values: Mapping[str, float | None]) -> dict[str, dict[str, float | None]]:
    """{metric: {"if_unread_wrong": …, "if_unread_right": …}} of metrics and their `values`.

    Wrong is how a metric counts what was not read or is missing, so its own value; right is the
    value if each such answer were the truth. Both null where answers do not decide: judges' metrics
    and those of confidence.
    """
    unread = [row for row, status in enumerate(read.status) if status != "ok"]
    right = _as_right(read.take(unread)) if unread else None
    found: dict[str, dict[str, float | None]] = {}
    for name, value in values.items():
        if name in judged.NAMES or name in calibration.METRICS:
            found[name] = {"if_unread_wrong": None, "if_unread_right": None}
            continue
        best = value if right is None else _value(METRICS[name], read, unread, right)
        found[name] = {"if_unread_wrong": value, "if_unread_right": best}
    return found


def _value(metric: Metric, read: Read, unread: Sequence[int], right: Read) -> float | None:
    """The metric where the `unread` rows are as in `right`."""
    rows = read.statistic(metric.statistic).copy()
    rows[list(unread)] = right.statistic(metric.statistic)
    used = counts(rows)
    return none_of(metric.of(rows[used])) if used.any() else None


def _as_right(read: Read) -> Read:
    """The same with the truth in place of each answer."""
    predictions: list[Prediction | None] = [
        Prediction(sample.id, "" if row is None else row.response)
        for sample, row in zip(read.samples, read.predictions, strict=True)
    ]
    statuses = ["ok"] * len(read)
    return replace(read, answers=list(read.truth), status=statuses, predictions=predictions)
