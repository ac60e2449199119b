"""Scores of a benchmark that was asked in other words, or answered again by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affect_mllm.eval.generate.ways import Way
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.predictions import read_predictions
from affect_mllm.eval.score.scoring import read_answers
from affect_mllm.eval.score.varied import varied
from affect_mllm.eval.task import Task
from affect_mllm.types import Sample

KINDS = ("wordings", "repeats")
Files = tuple[Path, Sequence[Path]]  # the plain answers, and those of each way in order


def asked_again(
    task: Task, rows: Sequence[Sample], ways: Sequence[Way], files: Mapping[str, Files]
) -> dict[str, dict[str, Any]]:
    """{"wordings": {VARIANT: scores}, "repeats": {VARIANT: scores}} as `score.varied` has them.

    Each way's row also says its `question` and how tokens were drawn. The greedy answer is no
    repeat: it counts among the wordings alone. Both are empty where nothing was asked again.
    """
    found: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for kind in KINDS:
        chosen = [(place, way) for place, way in enumerate(ways) if way.kind == kind]
        for variant, (plain, again) in files.items() if chosen else ():
            base = _read(task, rows, plain)
            reads = {way.name: _read(way.task, rows, again[place]) for place, way in chosen}
            scored = varied(task, base, reads, with_plain=kind == "wordings")
            for row, (_, way) in zip(scored["rows"], chosen, strict=True):
                row |= way.told
            found[kind][variant] = scored
    return found


def predictions(ways: Sequence[Way], files: Mapping[str, Files]) -> dict[str, Path]:
    """The file of each way of each variant, by `VARIANT.wording-NAME` and the like."""
    return {
        f"{variant}.{way.file}": path
        for variant, (_, again) in files.items()
        for way, path in zip(ways, again, strict=True)
    }


def _read(task: Task, rows: Sequence[Sample], path: Path) -> Read:
    return read_answers(task, rows, read_predictions(path))
