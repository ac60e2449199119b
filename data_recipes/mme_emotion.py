"""MME-Emotion → manifest: `python data_recipes/mme_emotion.py FOLDER`.

FOLDER is the dataset's folder (`ER-Lab/question/ER_Lab.json` … with `video_id`, `label`,
`label_set`); `video_id` (`IEMOCAP/video/x.mp4`) starts from there or from the task's folder.
Eight tasks; the label goes to `emotion` (ER-*, Noise-ER), `emotions` (FG-ER, a list with
semicolons; ML-ER, with commas), `sentiment` (SA, FG-SA) or `intent` (IR), the row's own choices
to `candidates`; as texts they are `answer` and `choices`. What the publisher's judge is told of
the sound (`audio_clue/*_audio_clues.json`) to `audio_clue`. Format: FunAudioLLM/MME-Emotion
(MME-Emotion-Dataset).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commandline import app
from readers.jsons import need, read_json
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

DATASET = Dataset(
    name="mme_emotion",
    title="MME-Emotion (clips of twelve datasets; video, sound; eight tasks)",
    licence="questions MIT; the clips keep the terms of their sources",
    access="https://huggingface.co/datasets/Karl28/MME-Emotion",
    source="FunAudioLLM/MME-Emotion, MME-Emotion-Dataset/dataset-readme.md",
    counts={"test": 6500},
)
# task → label key, and what stands between several labels of a row
TASKS = {
    "ER-Lab": ("emotion", ""),
    "ER-Wild": ("emotion", ""),
    "Noise-ER": ("emotion", ""),
    "FG-ER": ("emotions", ";"),
    "ML-ER": ("emotions", ","),
    "SA": ("sentiment", ""),
    "FG-SA": ("sentiment", ""),
    "IR": ("intent", ""),
}


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each question."""
    paths = {
        task: inputs.folder / task / "question" / f"{task.replace('-', '_')}.json" for task in TASKS
    }
    for task in inputs.splits(paths):
        path, clues = paths[task], audio_clues(inputs.folder / task)
        roots = (inputs.media_root, inputs.media_root / task)
        for at, record in enumerate(read_json(path, list), start=1):
            where = f"{path}[{at - 1}]"
            if not isinstance(record, dict):
                raise DataError(where, f"a {type(record).__name__}", expected="an object")
            video = need(where, record, "video_id", str)
            labels = _labels(where, record, *TASKS[task]) | {"task": task}
            labels |= {"audio_clue": clues[video]} if video in clues else {}
            row = {"id": f"{task}/{video}", "video": _found(video, roots), "split": "test"}
            yield Entry({**row, "labels": labels}, path, at)


def audio_clues(folder: Path) -> dict[str, str]:
    """`video_id` → what a model heard, of a task's `audio_clue/*.json`; {} where there are none."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("audio_clue/*_audio_clues.json")):
        for at, record in enumerate(read_json(path, list)):
            where = f"{path}[{at}]"
            if not isinstance(record, dict):
                raise DataError(where, f"a {type(record).__name__}", expected="an object")
            found[need(where, record, "video_id", str)] = need(where, record, "audio_clue", str)
    return found


def _labels(where: str, record: dict[str, Any], key: str, between: str) -> dict[str, Any]:
    """The label under its key, checked against the row's own choices."""
    choices = need(where, record, "label_set", list)
    label = need(where, record, "label", str)
    chosen = [each.strip() for each in label.split(between)] if between else [label]
    outside = [each for each in chosen if each not in choices]
    if outside:
        raise DataError(where, f"label {outside[0]!r}", expected=f"one of {choices}")
    said = {"answer": ", ".join(chosen), "choices": ", ".join(map(str, choices))}
    return {key: chosen if between else label, "candidates": choices, **said}


def _found(video: str, roots: tuple[Path, ...]) -> Path:
    return next((root / video for root in roots if (root / video).is_file()), roots[0] / video)


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
