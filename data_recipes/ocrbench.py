"""OCRBench → manifest: `python data_recipes/ocrbench.py FILE`.

FILE is VLMEvalKit's `OCRBench.tsv` (index, question, answer: a list, category, image), or the
Hub's Parquet of `echo840/OCRBench`, a file or a folder of shards. The pictures in it are written
to `images/` below `--media-root`. Format: open-compass/VLMEvalKit@e8e78f0
(dataset/utils/ocrbench.py), EvolvingLMMs-Lab/lmms-eval@75571cf.
"""

from __future__ import annotations

from typing import Any

from readers.embedded import Record, benchmark
from recipe import Dataset

DATASET = Dataset(
    name="ocrbench",
    title="OCRBench (text in pictures, ten kinds of questions)",
    licence="MIT; pictures under their sources' terms",
    access="open, https://github.com/Yuliang-Liu/MultimodalOCR",
    source="Liu et al. 2023, arXiv 2305.07895",
    counts={"total": 1000},
)


def labels(record: Record) -> dict[str, Any]:
    """The question, the texts that an answer may have, and the kind of question."""
    return {
        "question": record.text("question"),
        "answers": record.texts("answer"),
        "question_type": record.text("question_type", "category"),
    }


APP = benchmark(DATASET, labels, columns=("question", "answer", "question_type|category", "image"))

if __name__ == "__main__":
    APP()
