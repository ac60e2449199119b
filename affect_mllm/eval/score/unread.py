"""How far a number could move with the answers that were not read: all wrong, or all right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from affect_mllm.data.senses import SENSES
from affect_mllm.eval.metrics import calibration, claims, judged
from affect_mllm.eval.metrics.base import Metric, counts
from affect_mllm.eval.metrics.beside_truth import Read, is_together
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
    right = _as_right(read, unread) if unread else read
    part = right.take(unread)
    found: dict[str, dict[str, float | None]] = {}
    for name, value in values.items():
        if name in judged.NAMES or name in calibration.METRICS:
            found[name] = {"if_unread_wrong": None, "if_unread_right": None}
            continue
        best = _value(METRICS[name], read, right, part, unread) if unread else value
        found[name] = {"if_unread_wrong": value, "if_unread_right": best}
    return found


def _value(
    metric: Metric, read: Read, right: Read, part: Read, rows: Sequence[int]
) -> float | None:
    """The metric where `rows` are as in `right`, their `part`; groups are computed of all."""
    if is_together(metric.statistic):
        found = right.statistic(metric.statistic)
    else:
        found = read.statistic(metric.statistic).copy()
        found[list(rows)] = part.statistic(metric.statistic)
    used = counts(found)
    return none_of(metric.of(found[used])) if used.any() else None


def _as_right(read: Read, rows: Sequence[int]) -> Read:
    """The same with the truth in place of the answers of `rows`."""
    answers, status, said = list(read.answers), list(read.status), list(read.predictions)
    for row in rows:
        before = said[row]
        answers[row], status[row] = _best(read, row), "ok"
        shown = () if before is None else before.modalities
        text = "" if before is None else before.response
        said[row] = Prediction(read.samples[row].id, text, modalities=shown)
    return replace(read, answers=answers, status=status, predictions=said)


def _best(read: Read, row: int) -> Any:
    """The truth as an answer: of several texts, any of which is right, the one most often given.

    Of claims, of which nothing is true beforehand, one about each sense that was shown.
    """
    truth = read.truth[row]
    if read.graded is claims.grounded:
        return tuple(sense for sense in SENSES if sense in claims.shown_to(read.predictions[row]))
    return max(truth, key=truth.count) if read.graded is not None else truth
