"""ScienceQA → manifest: `python data_recipes/scienceqa.py FILE`.

FILE is VLMEvalKit's `ScienceQA_TEST.tsv` (index, question, hint, A to E, answer, image), or the
Hub's Parquet of `lmms-lab/ScienceQA`, a file or a folder of shards. The pictures in it are
written to `images/` below `--media-root`. Rows without a picture are left out. Format:
open-compass/VLMEvalKit@e8e78f0, EvolvingLMMs-Lab/lmms-eval@75571cf (tasks/scienceqa).
"""

from __future__ import annotations

from typing import Any

from readers.embedded import Record, benchmark
from recipe import Dataset

DATASET = Dataset(
    name="scienceqa",
    title="ScienceQA (test questions with a picture: IMG)",
    licence="CC BY-NC-SA 4.0",
    access="open, https://github.com/lupantech/ScienceQA",
    source="Lu et al. 2022, arXiv 2209.09513",
    counts={"test": 2017},
)


def labels(record: Record) -> dict[str, Any]:
    """The question, its options and the letter of the right one."""
    return {
        "question": record.text("question"),
        "options": record.options(),
        "answer": record.letter("answer"),
        "hint": record.get("hint"),
        "subject": record.get("subject", "category") or "none",
        "grade": record.get("grade") or "none",
    }


APP = benchmark(DATASET, labels, columns=("question", "answer", "image"), split="test")

if __name__ == "__main__":
    APP()
