"""MMBench → manifest: `python data_recipes/mmbench.py FILE --release 1.0` (or 1.1).

FILE is VLMEvalKit's `MMBench_DEV_EN.tsv` (index, question, hint, A to D, answer, category,
l2-category, split, image; `_V11`, `_CN` and their like), or the Hub's Parquet of
`lmms-lab/MMBench_EN`. A question is there once for each rotation of its options, at its index and
millions above; a question whose rotations are not all there is an error. The pictures are written
to `images/` below `--media-root`. Answers of the split test are not published.
Format: open-compass/VLMEvalKit@e8e78f0 (dataset/image_mcq.py), open-compass/MMBench.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from commandline import Plan, command
from readers.embedded import File, Record, questions
from recipe import Dataset, Entry, Inputs

from affect_mllm.types import DataError

ROTATION = 10**6  # between the indices of one question
COLUMNS = ("index", "question", "A", "answer", "category", "image")
DATASET = Dataset(
    name="mmbench",
    title="MMBench (questions with rotated options; twenty abilities)",
    licence="Apache-2.0; pictures under their sources' terms",
    access="open, https://github.com/open-compass/MMBench",
    source="Liu et al. 2023, arXiv 2307.06281",
    counts={},
)


class Release(StrEnum):
    """Which questions FILE has."""

    FIRST = "1.0"
    SECOND = "1.1"


def plan(
    file: File,
    release: Annotated[Release, typer.Option(help="Of the questions in FILE.")],
    language: Annotated[str, typer.Option(help="Of the questions.")] = "en",
) -> Plan:
    """Make a manifest of MMBench's dev questions."""

    def rows(inputs: Inputs) -> Iterator[Entry]:
        entries = list(made(inputs, file, release))
        for entry in entries:
            entry.row["language"] = language
        if not inputs.subset:
            check_rotations(file, entries)
        return iter(entries)

    return Plan(DATASET, rows, str(release))


def made(inputs: Inputs, file: Path, release: Release) -> Iterator[Entry]:
    """A row for each rotation of each dev question."""

    def labels(record: Record) -> dict[str, Any]:
        return {
            "question": record.text("question"),
            "hint": record.get("hint"),
            "options": record.options(),
            "answer": record.letter("answer"),
            "category": record.text("category"),
            "l2_category": record.get("l2-category") or "none",
            "release": str(release),
        }

    def question(record: Record, _: str) -> str:
        return str(int(record.text("index")) % ROTATION)

    yield from questions(
        inputs, file=file, columns=COLUMNS, labels=labels, split="dev", group=question,
        only=("split", ("dev",)),
    )  # fmt: skip


def check_rotations(file: Path, entries: list[Entry]) -> None:
    """DataError naming the questions that are not there once for each of their options."""
    found = Counter(entry.row["group"] for entry in entries)
    wanted = {entry.row["group"]: len(entry.row["labels"]["options"]) for entry in entries}
    lacking = [f"{name}: {found[name]} of {n}" for name, n in wanted.items() if found[name] != n]
    if lacking:
        raise DataError(
            str(file),
            f"{len(lacking)} questions lack rotations: {'; '.join(lacking[:10])}",
            expected="each question once for each of its options",
            fix="fetch the file again; for a part of it: --allow-count-mismatch",
        )


APP = command(plan)

if __name__ == "__main__":
    APP()
