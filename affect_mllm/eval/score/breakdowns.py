"""Scores of what was read: as a whole, and by label keys, source, language and modality set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from affect_mllm.eval.metrics import calibration, classes
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.metrics.intervals import Interval, measure, none_of, share_of
from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.read.base import STATUSES
from affect_mllm.eval.score.unread import bounds
from affect_mllm.eval.task import Task

UNPARSED = "unparsed"


def groups_of(task: Task, read: Read) -> list[str]:
    """The cluster of each sample: one that names none is a cluster of its own."""
    return read.clusters(task.clusters)


def score_read(task: Task, read: Read) -> dict[str, Any]:
    """n, status counts and metrics with intervals; for labels recalls and the confusion matrix."""
    groups = groups_of(task, read)
    measured = measure(read, {name: METRICS[name] for name in task.metrics}, groups)
    statuses = Counter(read.status)
    unread = bounds(read, {name: none_of(found.value) for name, found in measured.items()})
    result = {
        "n": len(read),
        "n_groups": len(set(groups)),
        "status": {name: statuses[name] for name in (*STATUSES, "missing")},
        "metrics": {
            name: entry(name, found, read) | unread[name] | _coverage_of_list(name, read)
            for name, found in measured.items()
        },
    }
    return result | (_classes(task, read) if task.kind in classes.KINDS else {})


def entry(name: str, found: Interval, read: Read) -> dict[str, Any]:
    """What `results.json` has of one metric; null where there is no number, and `interval` why.

    Metrics of confidence have their `coverage`: how many answers have one.
    """
    result = {
        "value": none_of(found.value),
        "ci_low": none_of(found.ci_low),
        "ci_high": none_of(found.ci_high),
        "n": found.n,
        "n_unparsed": read.unparsed,
        "interval": found.method,
        "se": none_of(found.se),
        "df": none_of(found.df),
    }
    covered = {"coverage": found.n / len(read)} if name in calibration.METRICS else {}
    return result | covered


def _coverage_of_list(metric: str, read: Read) -> dict[str, int]:
    """Beside a mean over the whole list: right answers reach the share of it that occurs, not 1."""
    if not METRICS[metric].over_list:
        return {}
    return {"n_classes": len(read.labels), "n_classes_occurring": len(read.occurring)}


def _classes(task: Task, read: Read) -> dict[str, Any]:
    counts = classes.confusion(read)
    return {
        "recall": {
            label: {"value": None if np.isnan(value) else float(value), "n": int(support)}
            for label, value, support in zip(
                task.labels, classes.recalls(counts), counts.sum(1), strict=True
            )
        },
        "confusion": {
            "labels": list(task.labels),
            "columns": [*task.labels, UNPARSED],
            "matrix": counts.astype(int).tolist(),
        },
    }


def breakdowns(task: Task, read: Read) -> dict[str, Any]:
    """{key: {part: its scores}} by the task's label keys, and source, language, modality set.

    A row whose label is a list counts in each of its parts. The latter three only where there are
    several. A row whose modalities contradict each other
    names the class that the other one shows as `labels.KEY_other`; the share of answers equal to
    it says which modality the model follows.
    """
    columns = part_columns(task, read)
    if any(said and said.modalities for said in read.predictions):  # others' files do not tell
        names = [_values("+".join(p.modalities) if p else None) for p in read.predictions]
        columns |= {"modalities": names} if len(set(names)) > 1 else {}
    return {key: _parts(task, read, key, values) for key, values in columns.items()}


def part_columns(task: Task, read: Read) -> dict[str, list[tuple[str, ...]]]:
    """Each sample's parts by the task's label keys, and by source and language if several."""
    columns = {key: [_values(s.labels.get(key)) for s in read.samples] for key in task.breakdowns}
    optional = {
        "source": [_values(sample.source) for sample in read.samples],
        "language": [_values(sample.language) for sample in read.samples],
    }
    return columns | {key: values for key, values in optional.items() if len(set(values)) > 1}


def rows_of(values: Sequence[tuple[str, ...]]) -> dict[str, list[int]]:
    """The row numbers of each part, in the order of their names."""
    rows: dict[str, list[int]] = {}
    for row, parts in enumerate(values):
        for part in parts:
            rows.setdefault(part, []).append(row)
    return dict(sorted(rows.items()))


def _values(value: Any) -> tuple[str, ...]:
    """The parts that a row of this value is in: of a list, each of them once."""
    if isinstance(value, list | tuple):
        return tuple(dict.fromkeys(map(str, value))) or ("none",)
    return ("none" if value is None else str(value),)


def _parts(task: Task, read: Read, key: str, values: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    parts = rows_of(values).items()
    return {part: _part(task, read.take(rows), f"{key}_other") for part, rows in parts}


def _part(task: Task, read: Read, other: str) -> dict[str, Any]:
    result = score_read(task, read)
    rows = [i for i, sample in enumerate(read.samples) if sample.labels.get(other) is not None]
    if rows:
        part = read.take(rows)
        pairs = zip(part.answers, part.samples, strict=True)
        same = [answer == sample.labels[other] for answer, sample in pairs]
        result["other_share"] = share_of(same, groups_of(task, part))
    return result
