"""What stands in a run's results beside the scores: whom answers follow, publishers' scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affect_mllm.eval.emotion_wheel.published import read_tables
from affect_mllm.eval.generate.views import View, followed
from affect_mllm.eval.predictions import Prediction, read_predictions
from affect_mllm.eval.score.breakdowns import groups_of
from affect_mllm.eval.score.scoring import read_answers, score
from affect_mllm.eval.task import Task
from affect_mllm.types import Sample


def whom_followed(
    task: Task,
    rows: Sequence[Sample],
    donors: Mapping[str, Mapping[str, Sample]],
    files: Mapping[str, Path],
) -> dict[str, dict[str, Any]]:
    """For each swapped modality: how often the answer names its class, its own, or neither."""
    found = {}
    for modality, given in donors.items():
        predictions = read_predictions(files[View(swap=modality).name])
        read = read_answers(task, rows, predictions)
        ids = [sample.id for sample in read.samples]
        answers = dict(zip(ids, read.answers, strict=True))
        own = dict(zip(ids, read.truth, strict=True))
        theirs = {row: task.truth_of(sample) for row, sample in given.items()}
        groups = dict(zip(ids, groups_of(task, read), strict=True))
        found[modality] = followed(answers, own, theirs, groups)
    return found


def publishers(
    task: Task, rows: Sequence[Sample], predictions: Sequence[Prediction], folder: str | None
) -> dict[str, Any] | None:
    """The publisher's scores beside ours; None where there are none, or no tables for them."""
    official = task.official
    if official is None or (official.tables and folder is None):
        return None
    tables = read_tables(Path(folder)) if official.tables and folder is not None else None
    return score(task, rows, predictions, compat="official", tables=tables)["official"]


def ceilings(path: Path, split: str | None) -> dict[str, float]:
    """What a corpus states about itself (`corpus.json` beside the manifest), if it does."""
    stated = path.with_name("corpus.json")
    if not stated.is_file():
        return {}
    return json.loads(stated.read_text())["ceilings"].get(split, {})
