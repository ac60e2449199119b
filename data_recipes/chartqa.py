"""ChartQA → manifest: `python data_recipes/chartqa.py FILE`.

FILE is VLMEvalKit's `ChartQA_TEST.tsv` (index, question, answer, split, image), or the Hub's
Parquet of `lmms-lab/ChartQA`, a file or a folder of shards. The pictures in it are written to
`images/` below `--media-root`. Format: open-compass/VLMEvalKit@e8e78f0,
EvolvingLMMs-Lab/lmms-eval@75571cf (tasks/chartqa).
"""

from __future__ import annotations

from typing import Any

from readers.embedded import Record, benchmark
from recipe import Dataset

DATASET = Dataset(
    name="chartqa",
    title="ChartQA (questions about charts; by people and from captions)",
    licence="GPL-3.0; charts under their sources' terms",
    access="open, https://github.com/vis-nlp/ChartQA",
    source="Masry et al. 2022, arXiv 2203.10244",
    counts={"test": 2500},
)


def labels(record: Record) -> dict[str, Any]:
    """The question, its answer, and which of the two parts it is of."""
    part = record.get("type", "split").lower()
    return {
        "question": record.text("question"),
        "answers": record.texts("answer"),
        "part": "human" if "human" in part else "augmented",
    }


APP = benchmark(
    DATASET, labels, columns=("question", "answer", "type|split", "image"), split="test"
)

if __name__ == "__main__":
    APP()
