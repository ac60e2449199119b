"""MVBench → manifest: `python data_recipes/mvbench.py FOLDER`.

FOLDER is the Hub's `OpenGVLab/MVBench`: `json/TASK.json`, lists of `{"video", "question",
"candidates", "answer"}`, of some tasks with `start` and `end` in seconds, and `video/` with the
archives unpacked. The videos of episodic_reasoning are folders of pictures, three a second; those
of fine_grained_pose have to be asked for (NTU RGB+D).
Format: OpenGVLab/Ask-Anything@4dd8210 (video_chat2/mvbench.ipynb),
EvolvingLMMs-Lab/lmms-eval@75571cf (tasks/mvbench).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commandline import app
from readers.jsons import need, read_json
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

# Task → where its videos lie below `video/`.
TASKS = {
    "action_sequence": "star/Charades_segment",
    "action_prediction": "star/Charades_segment",
    "action_antonym": "ssv2_video_mp4",
    "fine_grained_action": "Moments_in_Time_Raw/videos",
    "unexpected_action": "FunQA_test/test",
    "object_existence": "clevrer/video_validation",
    "object_interaction": "star/Charades_segment",
    "object_shuffle": "perception/videos",
    "moving_direction": "clevrer/video_validation",
    "action_localization": "sta/sta_video_segment",
    "scene_transition": "scene_qa/video",
    "action_count": "perception/videos",
    "moving_count": "clevrer/video_validation",
    "moving_attribute": "clevrer/video_validation",
    "state_change": "perception/videos",
    "fine_grained_pose": "nturgbd_convert",
    "character_order": "perception/videos",
    "egocentric_navigation": "vlnqa",
    "episodic_reasoning": "tvqa/video_fps3_hq_segment",
    "counterfactual_inference": "clevrer/video_validation",
}
PICTURES_FPS = 3.0
DATASET = Dataset(
    name="mvbench",
    title="MVBench (questions about short videos, twenty tasks)",
    licence="MIT; videos of eleven datasets under their terms",
    access="open, https://huggingface.co/datasets/OpenGVLab/MVBench",
    source="Li et al. 2024, arXiv 2311.17005",
    counts={"total": 4000},
    labels={"task": TASKS},
)


def rows(inputs: Inputs) -> Iterator[Entry]:
    """A row for each question; `group` is the video."""
    paths = {task: inputs.folder / "json" / f"{task}.json" for task in TASKS}
    for task in inputs.splits(paths):
        for at, record in enumerate(read_json(paths[task], list)):
            where = f"{paths[task]}[{at}]"
            if not isinstance(record, dict):
                raise DataError(where, f"a {type(record).__name__}", expected="an object")
            name = need(where, record, "video", str)
            labels = _labels(where, record) | {"task": task}
            row = {"id": f"{task}/{at}", "group": name, "labels": labels}
            media = _media(inputs.media_root / "video" / TASKS[task] / name, task)
            yield Entry(row | media | _part(record), paths[task], at + 1)


def _labels(where: str, record: dict[str, Any]) -> dict[str, Any]:
    options = [str(each) for each in need(where, record, "candidates", list)]
    answer = str(need(where, record, "answer", (str, int)))
    if options.count(answer) != 1:
        raise DataError(where, f"answer {answer!r}", expected=f"one of {options}")
    lettered = dict(zip("ABCDEFGHIJ", options, strict=False))
    letter = next(each for each, text in lettered.items() if text == answer)
    return {
        "question": need(where, record, "question", str),
        "options": lettered,
        "answer": letter,
    }


def _media(path: Path, task: str) -> dict[str, Any]:
    if task == "episodic_reasoning":
        return {"frames": path, "frames_fps": PICTURES_FPS}
    return {"video": path}


def _part(record: dict[str, Any]) -> dict[str, float]:
    """What part of the video a question is about, where it says so."""
    start, end = record.get("start"), record.get("end")
    return {} if start is None or end is None else {"start_s": float(start), "end_s": float(end)}


APP = app(DATASET, rows)

if __name__ == "__main__":
    APP()
