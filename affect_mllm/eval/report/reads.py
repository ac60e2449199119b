"""What a report reads again from the answers themselves: families of emotion, runs against runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.report.data import Run
from affect_mllm.eval.report.wheel import families, wheel
from affect_mllm.eval.score.paired import paired, with_holm
from affect_mllm.eval.score.runs import read_variant
from affect_mllm.eval.score.statistics import stability
from affect_mllm.eval.task import Task
from affect_mllm.types import AffectError

NAMED = ("closed_label", "multi_label", "open_vocabulary")  # kinds whose labels are words
KNOWN = 0.5  # share of true labels with a family, below which they are no emotions


def reference_read(run: Run, summary: dict[str, Any]) -> tuple[Task, Read]:
    """The reference variant's answers beside the truth. Raises DataError where files are gone."""
    return read_variant(run.path, summary, summary["reference"])


def family_wheel(run: Run, summary: dict[str, Any]) -> Markup | None:
    """Plutchik's families of true and answered labels; None where labels are no emotions."""
    if summary["task"]["kind"] not in NAMED:
        return None
    try:
        _, read = reference_read(run, summary)
    except AffectError as error:
        return Markup('<p class="absent">No wheel: {}</p>').format(str(error))
    true = families(_labels(read.truth))
    if true["other"] > 1 - KNOWN:
        return None
    answered = families(_labels(read.answers))
    return wheel(true, answered, title=f"families of emotion, {summary['reference']}")


def against_first(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """For each benchmark of the first run: the other runs' difference to it on the same samples.

    Each entry has `benchmark`, `metric` and `rows` of {"run", "value", "ci_low", "ci_high", "p",
    "p_holm", "n10", "n01"} or {"run", "absent": why}, and how far all of these runs agree
    (`stability`, None where none is comparable). Runs without the benchmark are left out.
    """
    first = runs[0]
    found = []
    for name, summary in first.benchmarks.items():
        others = [run for run in runs[1:] if name in run.benchmarks]
        if others:
            pairs = [_against(first, other, name) for other in others]
            right = [pair[1] for pair in pairs if pair[1] is not None]
            found.append(
                {
                    "benchmark": name,
                    "metric": summary["task"]["metrics"][0],
                    "rows": with_holm([{"p": None} | row for row, _ in pairs]),
                    "stability": _stability(right) if right else None,
                }
            )
    return found


def _against(first: Run, other: Run, name: str) -> tuple[dict[str, Any], NDArray[np.bool_] | None]:
    """The row of one run, and which samples the first run and this one have right, `[2, n]`."""
    try:
        task, base = reference_read(first, first.benchmarks[name])
        _, read = reference_read(other, other.benchmarks[name])
    except AffectError as error:
        return {"run": other.name, "absent": str(error)}, None
    if [s.id for s in base.samples] != [s.id for s in read.samples] or base.truth != read.truth:
        return {"run": other.name, "absent": "its samples are others than the first run's"}, None
    found = paired(task, read, base)
    row = {"run": other.name, **found["metric"], "p": found["p"]}
    counts = {"n10": found["n01"], "n01": found["n10"]}  # of the first run, and of this one
    return row | counts, np.stack([base.right, read.right])


def _stability(right: Sequence[NDArray[np.bool_]]) -> dict[str, float]:
    """Of the first run and every other one, from pairs `[2, n]` that have it in common."""
    runs = np.stack([right[0][0], *(pair[1] for pair in right)])
    return {"runs": len(runs), **asdict(stability(runs.T.astype(float).tolist()))}


def _labels(values: Sequence[Any]) -> list[tuple[str, ...]]:
    return [
        () if each is None else (each,) if isinstance(each, str) else tuple(each) for each in values
    ]
