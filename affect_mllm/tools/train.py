"""`affect-mllm train`: training that can ask benchmarks, which training itself knows nothing of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from affect_mllm.data import manifest
from affect_mllm.data.features import Features, Gather, alone, ensure
from affect_mllm.data.lengths import Lengths, measure, needed
from affect_mllm.data.settings import DataSettings
from affect_mllm.eval.benchmarks import load_task
from affect_mllm.eval.generate.asking import Asker
from affect_mllm.eval.generate.question import Question
from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.score.scoring import score
from affect_mllm.eval.task import Task
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.train.main import main as train
from affect_mllm.train.plan.stage import Asked
from affect_mllm.types import ConfigError, ExitCode, Sample


def main(arguments: Sequence[str]) -> ExitCode:
    """Train as the overrides say; `-m` (`--multirun`) runs every combination of `key=a,b`."""
    return train(arguments, make_benchmark=benchmark)


@dataclass(frozen=True)
class Watched:
    """A benchmark's task on some rows of the training manifest."""

    name: str
    task: Task
    samples: list[Sample]
    data: DataSettings
    asked: Asked
    made: dict[str, Any] = field(default_factory=dict)

    def prepare(
        self, model: AffectMLLM, *, rank: int = 0, world: int = 1, gather: Gather = alone
    ) -> None:
        """Compute the states that the feature cache lacks, and measure how long its rows are; each
        rank its share.
        """
        data, mine = self.data, self.samples[rank::world]
        features = self._features(model)
        ensure(
            features,
            mine,
            model.encode_clip,
            max_bad_fraction=data.max_bad_fraction,
            gather=gather,
        )
        if needed(model.span_lengths(), features):
            self.made["lengths"] = measure(features, mine, gather=gather, index=data.index())

    def ask(self, model: AffectMLLM, rank: int, world: int) -> list[dict[str, Any]]:
        """This rank's share, generated as an evaluation of a checkpoint would."""
        asker = Asker(
            model,
            self.data.maker(model.llm.tokenizer, model.span_lengths()),
            self._features(model),
            "in training",
            batch_size=self.asked.batch_size,
            lengths=self.made.get("lengths", Lengths()),
        )
        question = Question(self.task.wording, self.task.ask, self.task.words)
        return list(asker.answer(self.samples[rank::world], question))

    def _features(self, model: AffectMLLM) -> Features:
        """Made once, while weights are whole: their hash is part of it."""
        if "features" not in self.made:
            self.made["features"] = self.data.features(
                model.transforms(), model.fingerprint, limits=model.limits()
            )
        return self.made["features"]

    def metrics(self, rows: Sequence[dict[str, Any]]) -> dict[str, float]:
        """Each metric's value, of those that these rows have; answers that cannot be read count as
        wrong, as everywhere.
        """
        order = {sample.id: place for place, sample in enumerate(self.samples)}
        answers = [
            Prediction(
                id=row["id"],
                response=row["response"],
                prompt_hash=row["prompt_hash"],
                modalities=tuple(row.get("modalities", ())),
            )
            for row in sorted(rows, key=lambda row: order[row["id"]])
        ]
        scored = score(self.task, self.samples, answers)
        found = {name: each["value"] for name, each in scored["metrics"].items()}
        return {name: float(value) for name, value in found.items() if value is not None}


def benchmark(name: str, asked: Asked, data: DataSettings) -> Watched:
    """`conf/benchmark/NAME.yaml` on the asked split of the training manifest.

    Raises ConfigError without a manifest; DataError where no row of the split counts.
    """
    if data.manifest is None:
        raise ConfigError(
            "data.manifest",
            "null, but stage.benchmarks asks for rows of it",
            fix="name it: data.manifest=FILE",
        )
    path = Path(data.manifest)
    task = replace(load_task(name, path), split=asked.split)
    chosen = task.select(manifest.read(path))
    step = 1 if asked.max_rows is None else max(1, -(-len(chosen) // asked.max_rows))
    chosen = chosen[::step]
    return Watched(name, task, chosen, data, asked)
