"""SEED-Bench → manifest: `python data_recipes/seed_bench.py FILE`.

FILE is VLMEvalKit's `SEEDBench_IMG.tsv` (index, question, A to D, answer, category, image), or
the Hub's Parquet of `lmms-lab/SEED-Bench`, a file or a folder of shards. The pictures in it are
written to `images/` below `--media-root`. Of the latter, whose videos are lists of frames, the
rows of one picture are taken. Format: open-compass/VLMEvalKit@e8e78f0,
EvolvingLMMs-Lab/lmms-eval@75571cf (tasks/seedbench).
"""

from __future__ import annotations

from typing import Any

from readers.embedded import Record, benchmark
from recipe import Dataset

DATASET = Dataset(
    name="seed_bench",
    title="SEED-Bench (questions about single pictures, nine dimensions)",
    licence="CC BY-NC 4.0; pictures of CC3M under their terms",
    access="open, https://huggingface.co/datasets/AILab-CVC/SEED-Bench",
    source="Li et al. 2023, arXiv 2307.16125",
    counts={"total": 14232},
)


def labels(record: Record) -> dict[str, Any]:
    """The question, its options, the letter of the right one, and the dimension."""
    lettered = {x: record.get(f"choice_{x.lower()}") for x in "ABCD"}
    return {
        "question": record.text("question"),
        "options": record.options() or {x: text for x, text in lettered.items() if text},
        "answer": record.letter("answer"),
        "data_type": "image",
        "dimension": record.text("category", "question_type_id"),
    }


APP = benchmark(DATASET, labels, columns=("question", "answer", "image"))

if __name__ == "__main__":
    APP()
