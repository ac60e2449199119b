"""A row a sample: what was true, what was read and why not; numbers can be made of it again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from affect_mllm.eval.files import write_text_atomic
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.task import Task
from affect_mllm.media.refusals import unreadable
from affect_mllm.types import DataError, Sample


def write_log(path: Path, task: Task, read: Read) -> None:
    """One JSON row a sample: what every number of a result is computed from."""
    rows = (json.dumps(row, ensure_ascii=False) + "\n" for row in _rows(task, read))
    write_text_atomic(path, "".join(rows))


def _rows(task: Task, read: Read) -> Iterator[dict[str, Any]]:
    parts = [*task.breakdowns, *(f"{key}_other" for key in task.breakdowns)]
    parts += task.labels[:2] if "longer" in task.metrics else []  # the texts that it compares
    for at, (sample, said) in enumerate(zip(read.samples, read.predictions, strict=True)):
        yield {
            "id": sample.id,
            "group": sample.group,
            "speaker": sample.speaker,
            "source": sample.source,
            "language": sample.language,
            "labels": {key: sample.labels[key] for key in parts if key in sample.labels},
            "truth": read.truth[at],
            "answer": read.answers[at],
            "status": read.status[at],
            "modalities": None if said is None else list(said.modalities),
            "response": None if said is None else said.response,
            **({} if said is None else _decided(said)),
            **({"verdicts": read.verdicts[at]} if read.verdicts else {}),
        }


def _decided(said: Prediction) -> dict[str, Any]:
    """What metrics read besides the answer, where the prediction has it."""
    found = {"confidence": said.confidence, "scores": said.scores, "ranking": list(said.ranking)}
    return {key: value for key, value in found.items() if value not in (None, {}, [])}


def read_log(path: Path, task: Task) -> Read:
    """The answers beside the truth as `write_log` left them. DataError for another kind of file."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        rows = [json.loads(line) for line in text.splitlines()]
        return _read(rows, path.parent, task)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            str(path),
            f"no log of ours: {error!r}",
            expected="what `affect-mllm score --log` writes",
            fix="score the predictions again",
        ) from error


def _read(rows: list[dict[str, Any]], root: Path, task: Task) -> Read:
    low, high = task.scale
    return Read(
        samples=[
            Sample(
                row["id"],
                root,
                group=row["group"],
                speaker=row["speaker"],
                source=row["source"],
                language=row["language"],
                labels=row["labels"],
                labels_only=True,
            )
            for row in rows
        ],
        predictions=[_prediction(row) for row in rows],
        truth=[_value(row["truth"]) for row in rows],
        answers=[_value(row["answer"]) for row in rows],
        status=[row["status"] for row in rows],
        labels=() if task.kind == "open_vocabulary" else task.labels,
        low=low,
        high=high,
        verdicts=[row["verdicts"] for row in rows] if task.verdicts else [],
        graded=task.graded,
    )


def _prediction(row: dict[str, Any]) -> Prediction | None:
    if row["modalities"] is None:
        return None
    return Prediction(
        row["id"],
        response=row["response"],
        scores=row.get("scores", {}),
        ranking=tuple(row.get("ranking", ())),
        confidence=row.get("confidence"),
        modalities=tuple(row["modalities"]),
    )


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
