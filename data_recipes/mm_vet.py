"""MM-Vet → manifest: `python data_recipes/mm_vet.py FILE`.

FILE is VLMEvalKit's `MMVet.tsv` (index, question, answer, category, image), or the Hub's Parquet
of `lmms-lab/MMVet`, a file or a folder of shards. The pictures in it are written to `images/`
below `--media-root`. Format: open-compass/VLMEvalKit@e8e78f0 (dataset/utils/mmvet.py),
EvolvingLMMs-Lab/lmms-eval@75571cf.
"""

from __future__ import annotations

from typing import Any

from readers.embedded import Record, benchmark
from recipe import Dataset

DATASET = Dataset(
    name="mm_vet",
    title="MM-Vet (open questions of several abilities at once)",
    licence="CC BY-NC 4.0; pictures under their sources' terms",
    access="open, https://github.com/yuweihao/MM-Vet",
    source="Yu et al. 2023, arXiv 2308.02490",
    counts={"total": 218},
)


def labels(record: Record) -> dict[str, Any]:
    """The question, the true answer as it is written, and the abilities that it asks for."""
    abilities = record.text("capability", "category").split(",")
    return {
        "question": record.text("question"),
        "answer": record.text("answer"),
        "capabilities": [each.strip() for each in abilities],
    }


APP = benchmark(
    DATASET,
    labels,
    columns=("question", "answer", "capability|category", "image"),
    id="question_id|index",
)

if __name__ == "__main__":
    APP()
