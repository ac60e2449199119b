"""The labels that a recipe writes are those that its benchmarks ask for."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from affect_mllm.eval.benchmarks import load_task
from affect_mllm.types import Sample

# benchmark → recipe whose module states its label space as DATASET
WRITTEN = {
    "mer2023": "mer2023", "mer2024": "mer2024", "meld": "meld", "meld_closed": "meld",
    "meld_sentiment": "meld", "ferv39k": "ferv39k", "crema_d": "crema_d", "emoset": "emoset",
    "raf_db": "raf_db", "vce": "vce",
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_every_label_of_the_recipe_is_one_of_the_benchmark(name: str) -> None:
    task = load_task(name)
    dataset = importlib.import_module(WRITTEN[name]).DATASET
    words = dataset.labels[task.truth]
    assert len(words) > 1
    found = {word: task.truth_of(Sample("s", Path(), labels={task.truth: word})) for word in words}
    assert None not in found.values(), found
    if task.kind == "closed_label":
        assert set(words) == set(task.labels)


@pytest.mark.parametrize("name", [name for name in WRITTEN if load_task(name).split])
def test_the_split_of_the_benchmark_is_one_of_the_recipe(name: str) -> None:
    counts = importlib.import_module(WRITTEN[name]).DATASET.counts
    split = load_task(name).split
    assert split in counts or set(counts) == {"total"}
