"""VQAv2 → manifest: `python data_recipes/vqav2.py FILE`.

FILE is VLMEvalKit's `VQAv2_VAL.tsv` (index, question, answer: a list, image), or the Hub's
Parquet of `lmms-lab/VQAv2`, validation: a file or a folder of shards. The pictures in it are
written to `images/` below `--media-root`. Format: open-compass/VLMEvalKit@e8e78f0
(dataset/utils/vqa_eval.py), EvolvingLMMs-Lab/lmms-eval@75571cf (tasks/vqav2).
"""

from __future__ import annotations

from typing import Any

from readers.embedded import Record, benchmark, people
from recipe import Dataset

DATASET = Dataset(
    name="vqav2",
    title="VQAv2 (open questions, ten answers each)",
    licence="CC BY 4.0; pictures of COCO under their terms",
    access="open, https://visualqa.org",
    source="Goyal et al. 2017, arXiv 1612.00837",
    counts={"val": 214354},
)


def labels(record: Record) -> dict[str, Any]:
    """The question and what people answered."""
    return {
        "question": record.text("question"),
        "answers": people(record),
        "answer_type": record.get("answer_type") or "none",
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
