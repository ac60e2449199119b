"""POPE → manifest: `python data_recipes/pope.py FILE`.

FILE is VLMEvalKit's `POPE.tsv` (index, category, question, answer, image), or the Hub's Parquet
of `lmms-lab/POPE`, a file or a folder of shards. The pictures in it are written to `images/`
below `--media-root`. In the TSV a question of several samplings is one row, and counts in each;
so nothing is said of how many there are. Format: open-compass/VLMEvalKit@e8e78f0,
EvolvingLMMs-Lab/lmms-eval@75571cf (tasks/pope).
"""

from __future__ import annotations

from typing import Any

from readers.embedded import Record, benchmark
from recipe import Dataset

DATASET = Dataset(
    name="pope",
    title="POPE (is an object in a picture of COCO; three samplings)",
    licence="MIT; pictures of COCO under their terms",
    access="open, https://github.com/RUCAIBox/POPE; copies on the Hub",
    source="Li et al. 2023, arXiv 2305.10355",
    counts={},
    labels={
        "answer": ("yes", "no"),
        "category": ("adversarial", "popular", "random"),
    },
)


def labels(record: Record) -> dict[str, Any]:
    """The question, its answer and the samplings that it is of."""
    return {
        "question": record.text("question"),
        "answer": record.text("answer").lower(),
        "category": record.text("category").split(","),
    }


APP = benchmark(DATASET, labels, columns=("category", "question", "answer", "image"))

if __name__ == "__main__":
    APP()
