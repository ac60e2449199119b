"""AI2D → manifest: `python data_recipes/ai2d.py FILE`.

FILE is VLMEvalKit's `AI2D_TEST.tsv` (index, question, A to D, answer, image), or the Hub's
Parquet of `lmms-lab/ai2d`, a file or a folder of shards. The pictures in it are written to
`images/` below `--media-root`. Format: open-compass/VLMEvalKit@e8e78f0,
EvolvingLMMs-Lab/lmms-eval@75571cf (tasks/ai2d).
"""

from __future__ import annotations

from typing import Any

from readers.embedded import Record, benchmark
from recipe import Dataset

DATASET = Dataset(
    name="ai2d",
    title="AI2D (questions about diagrams of school science)",
    licence="CC BY-SA 4.0",
    access="open, https://prior.allenai.org/projects/diagram-understanding",
    source="Kembhavi et al. 2016, arXiv 1603.07396; lmms-lab/ai2d",
    counts={"test": 3088},
)


def labels(record: Record) -> dict[str, Any]:
    """The question, its options and the letter of the right one."""
    return {
        "question": record.text("question"),
        "options": record.options(),
        "answer": record.letter("answer"),
    }


APP = benchmark(DATASET, labels, columns=("question", "answer", "image"), split="test")

if __name__ == "__main__":
    APP()
