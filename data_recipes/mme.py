"""MME → manifest: `python data_recipes/mme.py FILE`.

FILE is VLMEvalKit's `MME.tsv` (index, category, question, answer, image), or the Hub's Parquet of
`lmms-lab/MME`, a file or a folder of shards. The pictures in it are written to `images/` below
`--media-root`. A group is a picture within its sub-task, as acc+ has it. Format:
open-compass/VLMEvalKit@e8e78f0 (dataset/image_yorn.py), EvolvingLMMs-Lab/lmms-eval@75571cf
(tasks/mme).
"""

from __future__ import annotations

from typing import Any

from readers.embedded import Record, benchmark
from recipe import Dataset

from affect_mllm.eval.metrics.together import MME

DATASET = Dataset(
    name="mme",
    title="MME (two yes/no questions a picture, 14 sub-tasks)",
    licence="academic research only; pictures under their sources' terms",
    access="on request of its authors; copies on the Hub",
    source="Fu et al. 2023, arXiv 2306.13394",
    counts={"total": 2374},
    labels={"answer": ("yes", "no"), "category": MME},
)


def labels(record: Record) -> dict[str, Any]:
    """The question, its answer and the sub-task."""
    answer = record.text("answer").lower()
    return {
        "question": record.text("question"),
        "answer": answer,
        "category": record.text("category"),
    }


APP = benchmark(
    DATASET,
    labels,
    columns=("category", "question", "answer", "image"),
    group=lambda record, picture: f"{record.text('category')}/{picture}",
)

if __name__ == "__main__":
    APP()
