"""Scores one set of predictions against a manifest, from files alone: no torch, no model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from affect_mllm.eval import metrics, parse
from affect_mllm.eval.predictions import (
    Prediction,
    raise_problems,
    read_predictions,
    rounded,
    row_problems,
    write_json_atomic,
)
from affect_mllm.eval.task import Task
from affect_mllm.log import LOGGER
from affect_mllm.types import ConfigError, DataError, Sample

__all__ = ["Read", "read_answers", "read_predictions", "score", "score_read", "write_json_atomic"]

Compat = Literal["none", "official"]
UNPARSED = "unparsed"


@dataclass(frozen=True)
class Read:
    """A task's samples in order of id, with what was read from each one's answer.

    `truth` and `predicted` `[n]` are class numbers; `predicted` is K where no label was read.
    `status[i]` is a parse status or "missing" (the sample has no prediction).
    """

    samples: list[Sample]
    predictions: list[Prediction | None]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    status: list[str]

    def take(self, rows: Sequence[int]) -> Read:
        """The same for some of the rows."""
        index = np.asarray(rows, dtype=np.int64)
        return Read(
            [self.samples[i] for i in rows],
            [self.predictions[i] for i in rows],
            self.truth[index],
            self.predicted[index],
            [self.status[i] for i in rows],
        )


def score(
    task: Task,
    samples: Sequence[Sample],
    predictions: Sequence[Prediction],
    *,
    compat: Compat = "none",
    checkpoint: str | None = None,
) -> dict[str, Any]:
    """The content of `results.json` for one benchmark; the order of the inputs has no effect.

    `samples` is the whole manifest. A sample without a prediction is a wrong answer of status
    "missing" and lowers `coverage`; a prediction for a row that the task does not count is left
    out and counted in `n_outside`. `checkpoint` is a hash; by default the one in the predictions.
    Raises DataError for unknown or repeated ids and for predictions of several prompts or
    checkpoints in one file, ConfigError for `compat="official"` where no scorer was published.
    """
    if compat == "official":
        raise ConfigError(
            f"benchmark {task.name}, compat",
            "official",
            expected="none: this benchmark has no published scorer",
        )
    raise_problems("predictions", list(row_problems(list(predictions), {s.id for s in samples})))
    read = read_answers(task, samples, predictions)
    answered = sum(status != "missing" for status in read.status)
    outside = len(predictions) - answered
    _warn(task, missing=len(read.samples) - answered, outside=outside)
    head = {
        "benchmark": task.name,
        "version": task.version,
        "compat": compat,
        "synthetic": task.synthetic,
        "checkpoint": checkpoint or _only(predictions, "checkpoint"),
        "prompt_hash": _only(predictions, "prompt_hash"),
        "extraction": task.extraction,
        "coverage": answered / len(read.samples),
        "n_outside": outside,
    }
    return rounded(head | score_read(task, read) | {"breakdowns": _breakdowns(task, read)})


def read_answers(task: Task, samples: Sequence[Sample], predictions: Sequence[Prediction]) -> Read:
    """Select the task's samples and extract a label from each answer."""
    chosen = task.select(samples)
    by_id = {prediction.id: prediction for prediction in predictions}
    rows = [by_id.get(sample.id) for sample in chosen]
    read = [None if row is None else _extract(task, row) for row in rows]
    number = {label: i for i, label in enumerate(task.labels)}
    unread = len(task.labels)
    return Read(
        samples=chosen,
        predictions=rows,
        truth=np.array([number[s.labels[task.truth]] for s in chosen], dtype=np.int64),
        predicted=np.array(
            [number[e.label] if e and e.label else unread for e in read], dtype=np.int64
        ),
        status=["missing" if e is None else e.status for e in read],
    )


def score_read(task: Task, read: Read) -> dict[str, Any]:
    """n, status counts, metrics with intervals, recalls and the confusion matrix of `read`."""
    classes = len(task.labels)
    groups = [s.group if s.group is not None else f"\0{s.id}" for s in read.samples]
    measured = metrics.measure(
        read.truth, read.predicted, groups, classes=classes, names=task.metrics
    )
    counts = metrics.confusion(read.truth, read.predicted, classes)
    n, unparsed = len(read.samples), int((read.predicted == classes).sum())
    statuses = Counter(read.status)
    return {
        "n": n,
        "n_groups": len(set(groups)),
        "status": {name: statuses[name] for name in (*parse.STATUSES, "missing")},
        "metrics": {
            name: {
                "value": m.value,
                "ci_low": m.ci_low,
                "ci_high": m.ci_high,
                "n": n,
                "n_unparsed": unparsed,
                "interval": m.method,
            }
            for name, m in measured.items()
        },
        "recall": {
            label: {"value": None if np.isnan(value) else float(value), "n": int(support)}
            for label, value, support in zip(
                task.labels, metrics.recalls(counts), counts.sum(1), strict=True
            )
        },
        "confusion": {
            "labels": list(task.labels),
            "columns": [*task.labels, UNPARSED],
            "matrix": counts.astype(int).tolist(),
        },
    }


def _extract(task: Task, row: Prediction) -> parse.Extraction:
    if row.labels is not None:
        return parse.from_labels(row.labels, task.labels)
    return parse.extract(row.response, task.labels, task.extraction)


def _warn(task: Task, *, missing: int, outside: int) -> None:
    if missing:
        LOGGER.warning("%s: %d samples have no prediction; they count as wrong", task.name, missing)
    if outside:
        LOGGER.warning("%s: %d predictions are for rows outside the task", task.name, outside)


def _breakdowns(task: Task, read: Read) -> dict[str, Any]:
    """{label key: {part: its scores}}, and the share of answers equal to the other class.

    A row whose modalities contradict each other names the class that the other one shows as
    `labels.<breakdown>_other`; that share says which modality the model follows.
    """
    if task.breakdown is None:
        return {}
    parts: dict[str, list[int]] = {}
    for i, sample in enumerate(read.samples):
        parts.setdefault(str(sample.labels.get(task.breakdown, "none")), []).append(i)
    return {task.breakdown: {part: _part(task, read.take(parts[part])) for part in sorted(parts)}}


def _part(task: Task, read: Read) -> dict[str, Any]:
    result = score_read(task, read)
    key = f"{task.breakdown}_other"
    pairs = [
        (task.labels[p] if p < len(task.labels) else None, s.labels[key])
        for p, s in zip(read.predicted, read.samples, strict=True)
        if s.labels.get(key) is not None
    ]
    if pairs:
        same = sum(answer == other for answer, other in pairs)
        low, high = metrics.wilson(same, len(pairs))
        result["other_share"] = {
            "value": same / len(pairs),
            "ci_low": low,
            "ci_high": high,
            "n": len(pairs),
        }
    return result


def _only(predictions: Sequence[Prediction], name: Literal["checkpoint", "prompt_hash"]) -> Any:
    """The one value that all predictions share; DataError if there are several."""
    values = {getattr(row, name) for row in predictions}
    if len(values) > 1:
        raise DataError(
            "predictions", f"{name}: {sorted(map(str, values))}", expected="one for the whole file"
        )
    return values.pop() if values else None
