"""How far a number could move with the answers that were not read: all wrong, or all right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from affect_mllm.eval.metrics import calibration, judged
from affect_mllm.eval.metrics.base import counts
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.metrics.intervals import none_of
from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.predictions import Prediction


def bounds(read: Read, names: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """{metric: {"if_unread_wrong": …, "if_unread_right": …}} for `names`.

    Wrong is how a metric counts what was not read or is missing, so its own value; right is the
    value if each such answer were the truth. Both null where answers do not decide: judges' metrics
    and those of confidence.
    """
    right = _as_right(read) if read.unparsed else read
    return {
        name: {"if_unread_wrong": _value(name, read), "if_unread_right": _value(name, right)}
        for name in names
    }


def _value(name: str, read: Read) -> float | None:
    if name in judged.NAMES or name in calibration.METRICS:
        return None
    rows = METRICS[name].statistic(read)
    used = counts(rows)
    return none_of(METRICS[name].of(rows[used])) if used.any() else None


def _as_right(read: Read) -> Read:
    """The same with the truth in place of each answer that was not read."""
    rows = zip(read.truth, read.answers, read.status, read.predictions, read.samples, strict=True)
    changed = [
        (answer, status, prediction)
        if status == "ok"
        else (truth, "ok", Prediction(sample.id, "" if prediction is None else prediction.response))
        for truth, answer, status, prediction, sample in rows
    ]
    answers, statuses, predictions = ([row[i] for row in changed] for i in range(3))
    return replace(read, answers=answers, status=statuses, predictions=predictions)
