"""VECBench → manifest: `python data_recipes/vecbench.py FOLDER --task EmoSet-8`.

FOLDER has the questions, JSON lines of `conversations` (a chat as Qwen's processors read it,
whose user shows one image), `task`, `ground_truth` and `candidates`: the one file `*.jsonl` in
it. An image's path starts from `--media-root`; of an absolute one, the longest end that is a
file there does. Nine tasks, each a benchmark of its own. Format: wdqqdw/EmoCaliber@a520291
(inference).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import typer
from commandline import Folder, Plan, command
from readers.jsons import need, read_jsonl
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

Task = Literal[
    "Abstract-8", "Artphoto-8", "EmoSet-8", "FI-2", "FI-8",
    "UnbiasedEmo-6", "WebEmo-2", "WebEmo-7", "WebEmo-25",
]  # fmt: skip
COUNTS = {
    "Abstract-8": 229,
    "Artphoto-8": 806,
    "EmoSet-8": 1000,
    "FI-2": 1000,
    "FI-8": 1000,
    "UnbiasedEmo-6": 1000,
    "WebEmo-2": 1000,
    "WebEmo-7": 1000,
    "WebEmo-25": 997,
}
DATASETS = {
    task: Dataset(
        name="vecbench_" + task.replace("-", "").lower(),
        title=f"VECBench, {task} (pictures; the emotion that they evoke)",
        licence="none stated; the pictures keep the terms of their sources",
        access="https://huggingface.co/datasets/wudq/VECBench",
        source="wdqqdw/EmoCaliber@a520291",
        counts={"total": count},
    )
    for task, count in COUNTS.items()
}


def plan(folder: Folder, task: Annotated[Task, typer.Option(help="Of the nine.")]) -> Plan:
    """Make a manifest of one of VECBench's tasks."""
    return Plan(DATASETS[task], partial(rows, task=task), task.lower())


def rows(inputs: Inputs, *, task: Task) -> Iterator[Entry]:
    """A row for each question of the task."""
    found = sorted(inputs.folder.glob("*.jsonl"))
    files = [path for path in found if not path.name.startswith("manifest")]
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "none"
        raise DataError(str(inputs.folder), f"question files: {names}", expected="one *.jsonl")
    count = 0
    for at, record in read_jsonl(files[0]):
        where = f"{files[0]}:{at}"
        if need(where, record, "task", str) == task:
            count += 1
            yield Entry(_row(inputs, where, record, f"{task}/{count}"), files[0], at)
    if not count:
        raise DataError(str(files[0]), f"no row of {task}", expected=f"tasks of {sorted(COUNTS)}")


def _row(inputs: Inputs, where: str, record: dict[str, Any], id: str) -> dict[str, Any]:
    candidates = [str(each).lower() for each in need(where, record, "candidates", list)]
    truth = need(where, record, "ground_truth", str).lower()
    if truth not in candidates:
        raise DataError(where, f"ground_truth {truth!r}", expected=f"one of {candidates}")
    image, question = _asked(where, need(where, record, "conversations", list))
    labels = {"emotion": truth, "candidates": candidates, "question": question}
    return {"id": id, "image": _found(inputs.media_root, image), "labels": labels}


def _asked(where: str, turns: list[Any]) -> tuple[str, str]:
    """The one image, and the words beside it."""
    content = [turn.get("content") for turn in turns if isinstance(turn, dict)]
    parts = [part for each in content if isinstance(each, list) for part in each]
    images = [part["image"] for part in parts if isinstance(part, dict) and "image" in part]
    words = [str(part["text"]) for part in parts if isinstance(part, dict) and "text" in part]
    if len(images) != 1 or not isinstance(images[0], str):
        raise DataError(where, f"{len(images)} images", expected="one in the user's content")
    return images[0].removeprefix("file://"), "\n".join(words)


def _found(root: Path, image: str) -> Path:
    path = PurePosixPath(image)
    if not path.is_absolute():
        return root / path
    ends = (root.joinpath(*path.parts[at:]) for at in range(1, len(path.parts)))
    return next((end for end in ends if end.is_file()), root / path.name)


APP = command(plan)

if __name__ == "__main__":
    APP()
