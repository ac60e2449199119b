"""Padding, balance over ranks, and the price of planning, on a corpus of mixed lengths.

    python benchmarks/padding.py [--quick]

Rows have a face and a voice of the demo's token counts, and subtitles and descriptions of lognormal
lengths; labels and descriptions are asked for in equal shares. No model runs and no file is read.
Baseline: examples in the order of the mixture, padded, dealt to ranks by turns.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from measured import Row, report

from affect_mllm import config
from affect_mllm.data import manifest
from affect_mllm.data.chat import ChatFormat
from affect_mllm.data.example import ExampleMaker
from affect_mllm.data.features import Features
from affect_mllm.data.loader import BatchPlan, StepDataset
from affect_mllm.data.mixture import Mixture, Source
from affect_mllm.data.outline import Outline, Outliner
from affect_mllm.data.packing import Budget
from affect_mllm.data.reader import Clip
from affect_mllm.data.template import Instruction, Prompt
from affect_mllm.types import Sample

SPANS = {"face": 8, "audio": 8, "multi": 1}
BUDGET = 8192
Measured = dict[str, list[float]]  # a number a step
WORDS = ("well", "so", "I", "never", "thought", "that", "we", "would", "meet", "again", "after")
INSTRUCTIONS: dict[str, Any] = {
    "label": Instruction(("Which emotion does the person express?",), "{emotion}"),
    "describe": Instruction(("Describe the person's emotion and the cues.",), "{description}"),
}


@dataclass(frozen=True)
class Still:
    """A reader whose clips are all alike, so that reading costs nothing."""

    def read(self, _sample: Sample, _transforms: object) -> Clip:
        """A face and a voice."""
        return Clip({name: np.zeros((1, 1), np.float32) for name in ("face", "audio")})


def main(quick: Annotated[bool, typer.Option(help="3 steps of 64 examples.")] = False) -> None:
    """Print one row a layout."""
    steps, size = (3, 64) if quick else (20, 256)
    layouts = [
        (ranks, tokens, budget)
        for ranks in (1, 8)
        for tokens, budget in ((0, None), (256, None), (1024, None), (1024, BUDGET))
    ]
    print(f"{steps} steps of {size} examples; in brackets the baseline; CPU time a rank and step")
    print(
        f"{'ranks':>5} {'layout':>22} {'padding':>13} {'imbalance':>14} {'plan':>13} {'batch':>9}"
    )
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = _corpus(Path(folder), steps * size)
        for ranks, tokens, budget in layouts:
            limit = Budget(tokens=budget)
            plan = BatchPlan(size, 1, tokens, world=ranks, budget=limit, hidden_size=576)
            measured = _measure(_dataset(path, plan, steps), steps)
            found = {name: float(np.mean(values)) for name, values in measured.items()}
            name = f"rows of {tokens}" if tokens else "padded, similar"
            name += f", {budget}" if budget else ""
            print(
                f"{ranks:5} {name:>22} {found['padding']:5.1%} ({found['padding, by turns']:5.1%})"
                f" {found['imbalance']:6.1%} ({found['imbalance, by turns']:5.1%})"
                f" {found['plan_s'] * 1e3:5.0f} ms {found['batch_s'] * 1e3:6.0f} ms"
            )
            rows += _compared(f"{ranks} rank{'s' * (ranks > 1)}, {name}", measured)
    report(rows)


def _compared(layout: str, measured: Measured) -> Iterator[Row]:
    """Padding, and with several ranks imbalance, to what dealing by turns makes of each step."""
    for kind in ("padding", "imbalance"):
        theirs = measured[f"{kind}, by turns"]
        if min(theirs) > 0:
            ratios = [mine / turns for mine, turns in zip(measured[kind], theirs, strict=True)]
            yield Row.of(
                f"{kind}: {layout}", "the same, dealt by turns and padded", ratios, "lower"
            )


def _corpus(folder: Path, rows: int) -> Path:
    rng = np.random.default_rng(0)

    def text(median: float) -> str:
        count = int(np.clip(rng.lognormal(np.log(median), 0.9), 1, 300))
        return " ".join(rng.choice(WORDS, count))

    (folder / "clip.mp4").touch()
    made = [
        Sample(
            f"r{i}",
            folder,
            {"video": "clip.mp4"},
            subtitle=text(14),
            split="train",
            labels={"emotion": "happy", "description": text(40)},
        )
        for i in range(rows)
    ]
    manifest.write(made, folder / "mixed.jsonl")
    return folder / "mixed.jsonl"


def _dataset(path: Path, plan: BatchPlan, steps: int) -> StepDataset:
    from transformers import AutoTokenizer

    source = Source(str(path), "train", dict.fromkeys(INSTRUCTIONS, 1.0))
    mixture = Mixture([source], seed=1, places=steps * plan.batch_size)
    tokenizer = AutoTokenizer.from_pretrained(config.weights_path("asset:smollm2-135m-instruct"))
    maker = ExampleMaker(ChatFormat(tokenizer), Prompt(), SPANS, fused=True, max_tokens=1024)
    outliner = Outliner(maker, INSTRUCTIONS, budget=plan.budget, encoded=True)
    return StepDataset(mixture, outliner, Features(Still(), {}), plan=plan)


def _measure(dataset: StepDataset, steps: int) -> Measured:
    """Of each step, a mean over ranks; times are of the CPU, `plan_s` for all ranks' examples."""
    found: dict[str, list[float]] = {}
    plan = dataset.plan
    for step in range(steps):
        places = range(step * plan.batch_size, (step + 1) * plan.batch_size)
        began = time.process_time()
        made = [dataset.outliner.outline(dataset.mixture[place]) for place in places]
        outlines = [outline for outline in made if outline is not None]
        plan.share(outlines)
        row = {"plan_s": time.process_time() - began, **_by_turns(outlines, plan)}
        parts = []
        for rank in range(plan.world):
            mine = StepDataset(
                dataset.mixture,
                dataset.outliner,
                dataset.features,
                plan=replace(plan, rank=rank),
            )
            began = time.process_time()
            parts.append(mine[step])
            row["batch_s"] = row.get("batch_s", 0) + (time.process_time() - began) / plan.world
        row["padding"] = float(np.mean([part.padding for part in parts]))
        row["imbalance"] = parts[0].imbalance
        for name, value in row.items():
            found.setdefault(name, []).append(value)
    return found


def _by_turns(outlines: Sequence[Outline], plan: BatchPlan) -> dict[str, float]:
    """The baseline on the same examples: rank r takes places r, r + ranks, …, in one batch."""
    shares = [[each.load for each in outlines[rank :: plan.world]] for rank in range(plan.world)]
    work = [sum(plan.budget.cost(load, plan.hidden_size) for load in share) for share in shares]
    real = sum(load.tokens for share in shares for load in share)
    places = sum(len(share) * max(load.tokens for load in share) for share in shares)
    return {
        "padding, by turns": 1 - real / places,
        "imbalance, by turns": max(work) / (sum(work) / plan.world) - 1,
    }


if __name__ == "__main__":
    typer.run(main)
