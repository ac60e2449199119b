"""MMStar → manifest: `python data_recipes/mmstar.py FILE`.

FILE is VLMEvalKit's `MMStar.tsv` (index, question, A to D, answer, category, l2_category, image),
or the Hub's Parquet of `Lin-Chen/MMStar`, a file or a folder of shards. The pictures in it are
written to `images/` below `--media-root`. There the question has its options in it ("Options: A:
…, B: …"), from which they are read. Format: open-compass/VLMEvalKit@e8e78f0,
MMStar-Benchmark/MMStar@88f243a.
"""

from __future__ import annotations

import re
from typing import Any

from readers.embedded import Record, benchmark
from recipe import Dataset

DATASET = Dataset(
    name="mmstar",
    title="MMStar (questions that need the picture; six abilities)",
    licence="none stated; questions of six benchmarks under their terms",
    access="open, https://huggingface.co/datasets/Lin-Chen/MMStar",
    source="Chen et al. 2024, arXiv 2403.20330",
    counts={"total": 1500},
)


_OPTIONS = re.compile(r"(?:Options?:|,|\n)\s*\(?([A-D])[:.)]\s*")


def labels(record: Record) -> dict[str, Any]:
    """The question with its options, and the letter of the right one."""
    question, options = record.text("question"), record.options()
    if not options:
        options = in_question(question)
    elif "Options:" not in question:
        question += "\nOptions: " + ", ".join(f"{x}: {text}" for x, text in options.items())
    return {
        "question": question,
        "options": options,
        "answer": record.letter("answer"),
        "category": record.text("category"),
        "l2_category": record.text("l2_category"),
    }


def in_question(question: str) -> dict[str, str]:
    """The options that a question ends with, by letter; A to D without a text where it has none."""
    _, *found = _OPTIONS.split(question)
    options = dict(zip(found[::2], (each.strip(" ,.\n") for each in found[1::2]), strict=True))
    return options if "A" in options else dict.fromkeys("ABCD", "")


APP = benchmark(DATASET, labels, columns=("question", "answer", "category", "l2_category", "image"))

if __name__ == "__main__":
    APP()
