"""DocVQA → manifest: `python data_recipes/docvqa.py FILE`.

FILE is VLMEvalKit's `DocVQA_VAL.tsv` (index, question, answer: a list, image), or the Hub's
Parquet of `lmms-lab/DocVQA`, a file or a folder of shards. The pictures in it are written to
`images/` below `--media-root`. The test rows have no answers. Format:
open-compass/VLMEvalKit@e8e78f0, EvolvingLMMs-Lab/lmms-eval@75571cf (tasks/docvqa).
"""

from __future__ import annotations

from typing import Any

from readers.embedded import Record, benchmark
from recipe import Dataset

DATASET = Dataset(
    name="docvqa",
    title="DocVQA (questions about scanned documents)",
    licence="terms of use of the Robust Reading Competition",
    access="registration, https://rrc.cvc.uab.es/?ch=17",
    source="Mathew et al. 2021, arXiv 2007.00398",
    counts={"val": 5349},
)


def labels(record: Record) -> dict[str, Any]:
    """The question, its answers, and what kind of place they are in."""
    return {
        "question": record.text("question"),
        "answers": record.texts("answers", "answer"),
        "question_types": record.texts("question_types") or ["none"],
    }


APP = benchmark(
    DATASET,
    labels,
    columns=("question", "answer|answers", "image"),
    id="questionId|index",
    split="val",
)

if __name__ == "__main__":
    APP()
