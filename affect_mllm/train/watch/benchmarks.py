"""Benchmarks while training: asked on the validation split, by generating, on all ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from affect_mllm.data.features import Gather
from affect_mllm.data.settings import DataSettings
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.train.layout.engine import Engine
from affect_mllm.train.plan.stage import Asked, Stage
from affect_mllm.train.watch.callbacks import Callback
from affect_mllm.types import ConfigError


class Benchmark(Protocol):
    """One benchmark as training sees it."""

    @property
    def name(self) -> str:
        """What its metrics are named after."""
        ...

    def prepare(self, model: AffectMLLM, *, rank: int, world: int, gather: Gather) -> None:
        """Compute what its rows lack in the feature cache, and measure them: each rank its share;
        the model is whole.
        """
        ...

    def ask(self, model: AffectMLLM, rank: int, world: int) -> list[dict[str, Any]]:
        """The answers to this rank's share of the rows."""
        ...

    def metrics(self, rows: Sequence[dict[str, Any]]) -> dict[str, float]:
        """Metrics of all ranks' answers by name."""
        ...


# Made by whoever knows both training and evaluation: from a name and what to ask about.
MakeBenchmark = Callable[[str, Asked, DataSettings], Benchmark]


def made(stage: Stage, make: MakeBenchmark | None, data: DataSettings) -> list[Benchmark]:
    """What the stage wants to be asked; ConfigError where nobody can make it."""
    asked = stage.benchmarks
    if asked is None:
        return []
    if make is None:
        raise ConfigError(
            f"stages.{stage.name}.benchmarks",
            f"{asked.names}, but this caller of training has no benchmarks",
            fix="train with train.py or `affect-mllm train`",
        )
    return [make(name, asked, data) for name in asked.names]


def of_stage(
    engine: Engine,
    stage: Stage,
    make: MakeBenchmark | None,
    data: DataSettings,
    model: AffectMLLM,
) -> Benchmarks | None:
    """What the stage wants to be asked while it trains, made while the model is whole."""
    if stage.benchmarks is None:
        return None
    benchmarks = made(stage, make, data)
    for each in benchmarks:
        each.prepare(model, rank=engine.rank, world=engine.world, gather=engine.gather)
    return Benchmarks(engine, benchmarks, every=stage.benchmarks.every)


class Benchmarks(Callback):
    """`val/NAME/METRIC` of each benchmark, every `every` steps and after the last."""

    def __init__(self, engine: Engine, benchmarks: Sequence[Benchmark], *, every: int) -> None:
        self.engine, self.benchmarks, self.every = engine, benchmarks, every

    def evaluate(self, step: int, *, last: bool) -> dict[str, float]:
        """All benchmarks' metrics, the same on every rank, when they are due."""
        if step % self.every and not last:
            return {}
        found: dict[str, float] = {}
        with torch.no_grad(), self.engine.whole() as model:
            model.eval()
            for benchmark in self.benchmarks:
                mine = benchmark.ask(model, self.engine.rank, self.engine.world)  # type: ignore[arg-type]
                rows = [row for rank in self.engine.gather(mine) for row in rank]
                metrics = benchmark.metrics(rows)
                found |= {f"val/{benchmark.name}/{name}": v for name, v in metrics.items()}
        return found
