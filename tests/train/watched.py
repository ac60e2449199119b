"""One process group that asks a benchmark in the middle of training; started by torchrun.

`python -m tests.train.watched TINY OUT CASE…` leaves in OUT, as JSON of rank 0, what every case
(see `moving`) answered to several numbers of rows, and the losses before and after.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.tools.train import Watched, benchmark
from affect_mllm.train.layout.launch import Launch
from affect_mllm.train.plan.stage import Asked
from affect_mllm.train.watch.benchmarks import Benchmarks
from tests.tiny import Tiny
from tests.train import moving
from tests.train.moving import Case

ROWS = (5, 1, 4)  # on two ranks: unequal, none on one of them, equal


class Kept:
    """A benchmark of so many rows, whose answers are kept."""

    def __init__(self, watched: Watched, rows: int) -> None:
        self.watched = replace(watched, samples=watched.samples[:rows])
        self.name = f"{watched.name}{rows}"
        self.answers: list[dict[str, str]] = []

    def ask(self, model: AffectMLLM, rank: int, world: int) -> list[dict[str, Any]]:
        return self.watched.ask(model, rank, world)

    def metrics(self, rows: Sequence[dict[str, Any]]) -> dict[str, float]:
        self.answers.append({row["id"]: row["response"] for row in rows})
        return self.watched.metrics(rows)


def run(tiny: Tiny, accelerator: Any, launch: Launch, case: Case) -> dict[str, Any]:
    """Two steps, the benchmarks twice, and two more steps."""
    kept: list[Kept] = []

    def make(model: AffectMLLM) -> None:
        asked = Asked(["synthetic"], split="train", batch_size=2)
        made = benchmark("synthetic", asked, tiny.data)
        made.prepare(model)
        kept.extend(Kept(made, rows) for rows in ROWS)

    _, trainer, batch = moving.trainer_of(tiny, accelerator, launch, case, first=make)
    watch = Benchmarks(trainer.engine, kept, every=1)
    losses = [moving.step(trainer, batch, number)["loss"] for number in (1, 2)]
    metrics = [watch.evaluate(2, last=False) for _ in range(2)]
    trainer.engine.module.train()
    losses += [moving.step(trainer, batch, number)["loss"] for number in (3, 4)]
    trainer.engine.close()
    return {"loss": losses, "metrics": metrics, "answers": {k.name: k.answers for k in kept}}


if __name__ == "__main__":
    moving.main(*sys.argv[1:], run=run)
