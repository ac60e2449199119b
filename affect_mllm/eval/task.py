"""A benchmark as data: what is asked, which rows count, how answers are read and scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from affect_mllm import config
from affect_mllm.eval.metrics import METRICS
from affect_mllm.eval.parse import POLICIES
from affect_mllm.types import ConfigError, DataError, Sample

TARGET = "affect_mllm.eval.task.Task"


@dataclass(frozen=True)
class Task:
    """One benchmark, read from `conf/benchmark/NAME.yaml`.

    `question` is the prompt text. `truth` is the key of `Sample.labels` with the right answer,
    `where` further label values a row must have, `breakdown` a label key whose values are
    reported one by one. `require` names the modalities without which an answer is an error.
    Raises ConfigError on an unknown policy or metric, a label given twice, or no label.
    """

    name: str
    version: str
    question: str
    labels: tuple[str, ...]
    kind: Literal["closed_label"] = "closed_label"
    split: str | None = "test"
    truth: str = "emotion"
    where: dict[str, Any] = field(default_factory=dict)
    extraction: str = "closed_label_v1"
    metrics: tuple[str, ...] = ("accuracy", "uar", "weighted_f1", "macro_f1")
    breakdown: str | None = None
    synthetic: bool = False
    require: tuple[Literal["face", "audio", "text"], ...] = ()

    def __post_init__(self) -> None:
        for name in ("labels", "metrics", "require"):  # YAML has lists; a frozen task has none
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.labels or len({label.casefold() for label in self.labels}) < len(self.labels):
            raise ConfigError(
                f"benchmark {self.name}.labels",
                f"{list(self.labels)}",
                expected="at least one label, none of them twice",
            )
        if self.extraction not in POLICIES:
            raise ConfigError(
                f"benchmark {self.name}.extraction",
                repr(self.extraction),
                expected=f"one of {sorted(POLICIES)}",
            )
        unknown = [name for name in self.metrics if name not in METRICS]
        if unknown or not self.metrics:
            raise ConfigError(
                f"benchmark {self.name}.metrics",
                f"{unknown or 'none'}",
                expected=f"some of {sorted(METRICS)}",
            )

    def select(self, samples: Sequence[Sample]) -> list[Sample]:
        """The rows that count, ordered by id, whatever the order of `samples`.

        Raises DataError, naming every row, where the truth is absent or no label of the task,
        and when no row is left.
        """
        chosen = sorted((s for s in samples if self._counts(s)), key=lambda sample: sample.id)
        bad = [
            f"{s.id}: {s.labels.get(self.truth)!r}"
            for s in chosen
            if s.labels.get(self.truth) not in self.labels
        ]
        if bad:
            raise DataError(
                f"manifest, labels.{self.truth} of {self.name}",
                "; ".join(bad),
                expected=f"one of {list(self.labels)}",
            )
        if not chosen:
            raise DataError(
                f"manifest for {self.name}",
                f"none of {len(samples)} rows counts",
                expected=f"rows with split={self.split!r} and {self.where}",
            )
        return chosen

    def _counts(self, sample: Sample) -> bool:
        if self.split is not None and sample.split != self.split:
            return False
        return all(sample.labels.get(key) == value for key, value in self.where.items())


def benchmark_names() -> list[str]:
    """Names of the benchmarks in `conf/benchmark`, sorted."""
    return sorted(path.stem for path in (config.conf_dir() / "benchmark").glob("*.yaml"))


def load_task(name: str) -> Task:
    """The task of `conf/benchmark/NAME.yaml`; ConfigError if unknown or wrongly written."""
    names = benchmark_names()
    if name not in names:
        raise ConfigError("benchmark", repr(name), expected=f"one of {names}")
    return read_task(config.conf_dir() / "benchmark" / f"{name}.yaml")


def read_task(path: Path) -> Task:
    """The task written in one YAML file; ConfigError lists unknown keys and wrong values."""
    from omegaconf import OmegaConf
    from pydantic import TypeAdapter, ValidationError

    try:
        values = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except Exception as error:  # the YAML reader has many error classes, all meaning the same
        raise ConfigError(str(path), f"not readable as YAML: {error}") from error
    known = {entry.name for entry in fields(Task)}
    if not isinstance(values, dict) or values.pop("_target_", TARGET) != TARGET:
        raise ConfigError(str(path), "not a benchmark", expected=f"_target_: {TARGET} and fields")
    if unknown := sorted(str(key) for key in values if key not in known):
        raise ConfigError(str(path), f"unknown keys {unknown}", expected=f"some of {sorted(known)}")
    try:
        return TypeAdapter(Task).validate_python(values)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(str(path), found) from error
