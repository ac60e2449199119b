"""MME-Emotion → manifest: `python data_recipes/mme_emotion.py FOLDER`.

FOLDER is the dataset's folder (`ER-Lab/question/ER_Lab.json` … with `video_id`, `label`,
`label_set`); `video_id` (`IEMOCAP/video/x.mp4`) starts from FOLDER, from the task's folder or, with
`--media-root`, from there. Eight tasks; the label goes to `emotion` (ER-*, Noise-ER), `emotions`
(ML-ER, where it is a list with commas), `sentiment` (SA, FG-SA) or `intent` (IR), and the row's own
choices to `candidates`. Format: FunAudioLLM/MME-Emotion (MME-Emotion-Dataset).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from readers.jsons import need, read_json
from recipe import Dataset, Entry, Inputs, app

from affect_mllm.types import DataError

DATASET = Dataset(
    name="mme_emotion",
    title="MME-Emotion (clips of twelve datasets; video, sound; eight tasks)",
    licence="questions MIT; the clips keep the terms of their sources",
    access="https://huggingface.co/datasets/Karl28/MME-Emotion",
    source="FunAudioLLM/MME-Emotion, MME-Emotion-Dataset/dataset-readme.md",
    counts={"test": 6500},
)
TASKS = {
    "ER-Lab": "emotion",
    "ER-Wild": "emotion",
    "Noise-ER": "emotion",
    "FG-ER": "emotion",
    "ML-ER": "emotions",
    "SA": "sentiment",
    "FG-SA": "sentiment",
    "IR": "intent",
}


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each question."""
    for task, key in TASKS.items():
        path = inputs.folder / task / "question" / f"{task.replace('-', '_')}.json"
        roots = (inputs.media_root, inputs.media_root / task)
        for at, record in enumerate(read_json(path, list), start=1):
            where = f"{path}[{at - 1}]"
            if not isinstance(record, dict):
                raise DataError(where, f"a {type(record).__name__}", expected="an object")
            video = need(where, record, "video_id", str)
            labels = _labels(where, record, key) | {"task": task}
            row = {"id": f"{task}/{video}", "video": _found(video, roots), "split": "test"}
            yield Entry({**row, "labels": labels}, path, at)


def _labels(where: str, record: dict[str, Any], key: str) -> dict[str, Any]:
    """The label under its key, checked against the row's own choices."""
    choices = need(where, record, "label_set", list)
    label = need(where, record, "label", str)
    chosen = [each.strip() for each in label.split(",")] if key == "emotions" else [label]
    outside = [each for each in chosen if each not in choices]
    if outside:
        raise DataError(where, f"label {outside[0]!r}", expected=f"one of {choices}")
    return {key: chosen if key == "emotions" else label, "candidates": choices}


def _found(video: str, roots: tuple[Path, ...]) -> Path:
    return next((root / video for root in roots if (root / video).is_file()), roots[0] / video)


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
