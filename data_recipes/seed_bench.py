"""SEED-Bench → manifest: `python data_recipes/seed_bench.py FILE [--form video]`.

FILE is VLMEvalKit's `SEEDBench_IMG.tsv` (index, question, A to D, answer, category, image), or
the Hub's Parquet of `lmms-lab/SEED-Bench`, a file or a folder of shards. `image`: its questions
about one picture, which is written to `images/` below `--media-root`. `video` (of the Parquet
alone): those about videos, whose frames are written to `frames/ROW/`; they have no times. Format:
open-compass/VLMEvalKit@e8e78f0, EvolvingLMMs-Lab/lmms-eval@75571cf (tasks/seedbench).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal

import typer
from commandline import Plan, command
from readers.embedded import File, Pictures, Record, questions, single
from recipe import Dataset, Entry, Inputs

Form = Literal["image", "video"]
_IMAGES = Dataset(
    name="seed_bench",
    title="SEED-Bench (questions about single pictures, nine dimensions)",
    licence="CC BY-NC 4.0; pictures of CC3M under their terms",
    access="open, https://huggingface.co/datasets/AILab-CVC/SEED-Bench",
    source="Li et al. 2023, arXiv 2307.16125",
    counts={"total": 14232},
)
_VIDEOS = replace(
    _IMAGES,
    name="seed_bench_video",
    title="SEED-Bench (questions about videos, three dimensions)",
    counts={},
)
DATASETS: dict[Form, Dataset] = {"image": _IMAGES, "video": _VIDEOS}


def labels(record: Record) -> dict[str, Any]:
    """The question, its options, the letter of the right one, and the dimension."""
    lettered = {x: record.get(f"choice_{x.lower()}") for x in "ABCD"}
    return {
        "question": record.text("question"),
        "options": record.options() or {x: text for x, text in lettered.items() if text},
        "answer": record.letter("answer"),
        "data_type": record.get("data_type") or "image",
        "dimension": record.text("category", "question_type_id"),
    }


def frames(pictures: Pictures, record: Record, id: str) -> dict[str, Any]:
    """The row's pictures are its video's frames."""
    return {"frames": pictures.frames(record, id)}


def plan(
    file: File,
    form: Annotated[
        Form, typer.Option(help="Questions about pictures, or about videos.")
    ] = "image",
) -> Plan:
    """Make a manifest of SEED-Bench's questions about pictures, or about videos."""
    video = form == "video"
    needed = ("question", "answer", "image", *(("data_type",) if video else ()))

    def rows(inputs: Inputs) -> Iterator[Entry]:
        return questions(
            inputs,
            file=file,
            columns=needed,
            labels=labels,
            only=("data_type", (form,)),
            media=frames if video else single,
            group=lambda record, name: (video and record.get("data_id")) or name,
        )

    return Plan(DATASETS[form], rows, form if video else "")


APP = command(plan)

if __name__ == "__main__":
    APP()
