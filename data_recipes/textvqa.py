"""TextVQA → manifest: `python data_recipes/textvqa.py FILE`.

FILE is VLMEvalKit's `TextVQA_VAL.tsv` (index, question, answer: a list, image), or the Hub's
Parquet of `lmms-lab/textvqa`, validation: a file or a folder of shards. The pictures in it are
written to `images/` below `--media-root`. Format: open-compass/VLMEvalKit@e8e78f0
(dataset/utils/vqa_eval.py), EvolvingLMMs-Lab/lmms-eval@75571cf (tasks/textvqa).
"""

from __future__ import annotations

from typing import Any

from readers.embedded import Record, benchmark, people
from recipe import Dataset

DATASET = Dataset(
    name="textvqa",
    title="TextVQA (open questions, ten answers each)",
    licence="CC BY 4.0; pictures of Open Images under their terms",
    access="open, https://textvqa.org",
    source="Singh et al. 2019, arXiv 1904.08920",
    counts={"val": 5000},
)


def labels(record: Record) -> dict[str, Any]:
    """The question and what people answered."""
    return {
        "question": record.text("question"),
        "answers": people(record),
    }


APP = benchmark(
    DATASET,
    labels,
    columns=("question", "answer|answers", "image"),
    id="question_id|index",
    split="val",
)

if __name__ == "__main__":
    APP()
