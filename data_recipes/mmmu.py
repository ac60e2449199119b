"""MMMU → manifest: `python data_recipes/mmmu.py FILE`.

FILE is VLMEvalKit's `MMMU_DEV_VAL.tsv` (index, question, A to I, answer, category, l2-category,
split, image), or the Hub's Parquet of `lmms-lab/MMMU`, a file or a folder of shards. The pictures
in it are written to `images/` below `--media-root`. Rows of the split validation; several pictures
are clips called by their numbers, and stand where question or options say `<image 2>`. Format:
open-compass/VLMEvalKit@e8e78f0 (dataset/image_mcq.py), MMMU-Benchmark/MMMU@bb0b95a.
"""

from __future__ import annotations

from typing import Any

from readers.embedded import Record, benchmark, several
from recipe import Dataset

DATASET = Dataset(
    name="mmmu",
    title="MMMU (college exams, 30 subjects; validation)",
    licence="Apache-2.0; pictures under their sources' terms",
    access="open, https://huggingface.co/datasets/MMMU/MMMU",
    source="Yue et al. 2024, arXiv 2311.16502",
    counts={"total": 900},
)


DOMAINS = (
    *("Art and Design", "Business", "Science", "Health and Medicine"),
    *("Humanities and Social Science", "Tech and Engineering"),
)


def labels(record: Record) -> dict[str, Any]:
    """The question, its options if it has some, the right answers, and what it is about."""
    options = record.options()
    answers = [record.letter("answer")] if options else record.texts("answer")
    return {
        "question": record.text("question"),
        "options": options,
        "answers": answers,
        "question_type": "multiple-choice" if options else "open",
        "subject": record.get("category", "subfield") or subject(record),
        "domain": record.get("l2-category") or "none",
    }


def subject(record: Record) -> str:
    """The subject in the id of a row of the Hub: `validation_Art_Theory_3`."""
    return " ".join(record.text("id").split("_")[1:-1])


APP = benchmark(
    DATASET,
    labels,
    columns=("question", "answer", "image|image_1"),
    id="id|index",
    split="val",
    only=("split", ("validation", "val")),
    media=several,
)

if __name__ == "__main__":
    APP()
