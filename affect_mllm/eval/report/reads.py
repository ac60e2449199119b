"""What a report reads again from the answers themselves: families of emotion, runs against runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from markupsafe import Markup

from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.report.data import Run
from affect_mllm.eval.report.wheel import families, wheel
from affect_mllm.eval.score.against import told
from affect_mllm.eval.score.paired import with_holm
from affect_mllm.eval.score.runs import read_variant, runs_in
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


def against_first(runs: Sequence[Run], across: Collection[str] = ()) -> Iterator[dict[str, Any]]:
    """Of each benchmark that several runs have, each run's reference against that of the first.

    {"benchmark", "first", "metric", "rows": as `score.against.told` gives them with `p_holm`,
    "stability": how far all that are comparable agree on the samples of all, None of a single one}.
    """
    each = [one for run in runs for one in runs_in(run.path, run.name)]
    for name in dict.fromkeys(one.task.name for one in each):
        first, *others = [one for one in each if one.task.name == name]
        if others:
            rows = with_holm([{"p": None} | told(first, one, across=across) for one in others])
            alike = [one.read for one, row in zip(others, rows, strict=True) if row["comparable"]]
            yield {
                "benchmark": name,
                "first": first.name,
                "metric": first.task.metrics[0],
                "rows": rows,
                "stability": _stability([first.read, *alike]) if alike else None,
            }


def _stability(reads: Sequence[Read]) -> dict[str, float] | None:
    """On the samples that all of them have; None where there is none."""
    right = [
        dict(zip((sample.id for sample in read.samples), read.right.tolist(), strict=True))
        for read in reads
    ]
    ids = [id for id in right[0] if all(id in one for one in right)]
    scores = [[float(one[id]) for one in right] for id in ids]
    return {"runs": len(right), **asdict(stability(scores))} if ids else None


def _labels(values: Sequence[Any]) -> list[tuple[str, ...]]:
    return [
        () if each is None else (each,) if isinstance(each, str) else tuple(each) for each in values
    ]
