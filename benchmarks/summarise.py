"""How long scores and comparisons of many rows take, from answers to a summary.

    python benchmarks/summarise.py [ROWS]

Two runs and the majority class, in groups of four rows: metrics, intervals, parts and p-values.
Answers are bare labels, so that hardly any of it is reading.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.score.summary import summarise
from affect_mllm.eval.task import Task
from affect_mllm.types import Sample

LABELS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


def runs_of(rows: int) -> tuple[Task, list[Sample], dict[str, list[Prediction]]]:
    """A task of seven labels, its rows, and two runs that have 70 % and 60 % of them right."""
    draw = random.Random(0)
    task = Task("bench", "1", "Which emotion?", LABELS)
    samples = [
        Sample(f"s{i:06d}", Path(), split="test", group=f"g{i // 4}",
               labels={"emotion": draw.choice(LABELS)})
        for i in range(rows)
    ]  # fmt: skip
    runs = {
        name: [
            Prediction(s.id, s.labels["emotion"] if draw.random() < p else draw.choice(LABELS))
            for s in samples
        ]
        for name, p in (("face+audio+text", 0.7), ("text", 0.6))
    }
    return task, samples, runs


def main(rows: int) -> None:
    """Print the seconds of CPU that one summary takes."""
    task, samples, runs = runs_of(rows)
    start = time.process_time()
    found = summarise(task, samples, runs)
    seconds = time.process_time() - start
    accuracy = found["variants"]["text"]["metrics"]["accuracy"]
    print(f"{rows} rows, {len(found['variants'])} variants: {seconds:.2f} s of CPU")
    print(f"accuracy {accuracy['value']:.4f} [{accuracy['ci_low']:.4f}, {accuracy['ci_high']:.4f}]")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
