"""Manifests of words alone, and step datasets over them, for tests of order and layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from affect_mllm.data import manifest
from affect_mllm.data.chat import ChatFormat
from affect_mllm.data.example import ExampleMaker
from affect_mllm.data.features import Features
from affect_mllm.data.loader import BatchPlan, StepDataset
from affect_mllm.data.mixture import Mixture
from affect_mllm.data.outline import Outliner
from affect_mllm.data.reader import Reader
from affect_mllm.data.template import Instruction, Prompt
from affect_mllm.types import Sample
from tests.data import tokenizers

TOKENIZER = tokenizers.tokenizer("qwen25")
INSTRUCTIONS: dict[str, Any] = {
    "label": Instruction(("Which?", "What is it?"), ("{emotion}", "It is {emotion}.")),
    "describe": Instruction(("Say more.",), "{emotion}, as the words say."),
}


def write(folder: Path, name: str, count: int, *, split: str = "train") -> Path:
    """A manifest of rows `name0 …` with subtitles of different lengths."""
    rows = [
        Sample(
            f"{name}{i}",
            folder,
            subtitle="word " * (1 + 7 * i % 23),
            split=split,
            labels={"emotion": "happy" if i % 2 else "sad"},
        )
        for i in range(count)
    ]
    path = folder / f"{name}.jsonl"
    manifest.write(rows, path)
    return path


def dataset(mixture: Mixture, plan: BatchPlan, *, max_tokens: int = 300) -> StepDataset:
    """The steps of a mixture for one rank."""
    maker = ExampleMaker(ChatFormat(TOKENIZER), Prompt(), {}, fused=False, max_tokens=max_tokens)
    outliner = Outliner(maker, INSTRUCTIONS, budget=plan.budget, encoded=False)
    return StepDataset(mixture, outliner, Features(Reader(), {}), plan=plan)


def told(batches: Sequence[Any]) -> list[list[tuple[str, tuple[int, ...]]]]:
    """By step: every example's row and ids, in the order of the micro-batches."""
    return [
        [
            (name, tuple(batch.input_ids[batch.segments == number].tolist()))
            for batch in step.micro_batches
            for number, name in enumerate(batch.sample_ids)
        ]
        for step in batches
    ]
