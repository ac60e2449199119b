"""What a report shows, gathered from a run directory: results, tables, training curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.report.charts import Bar
from affect_mllm.eval.report.rollouts import Rollouts
from affect_mllm.types import DataError

BASELINES = ("untrained", "probe", "majority")
_STAGES = ("align", "emotion", "perceive", "instruct", "cold_start", "reinforce", "control")


@dataclass(frozen=True)
class Row:
    """One variant of a results table; `paired` is its comparison with the reference."""

    name: str
    scores: dict[str, Any]
    is_reference: bool
    paired: dict[str, Any] | None


@dataclass(frozen=True)
class Stage:
    """One training stage, from its `metrics.jsonl`; `bad_lines` could not be read."""

    name: str
    rows: list[dict[str, Any]]
    bad_lines: int = 0
    rollouts: Rollouts = field(default_factory=Rollouts)

    @property
    def loss(self) -> list[tuple[float, float]]:
        """(step, loss) of every step that learned; the others only evaluated."""
        return [(float(row["step"]), float(row["loss"])) for row in self.rows if "loss" in row]

    @property
    def gate(self) -> dict[str, list[tuple[float, float]]]:
        """(step, weight of the emotion expert) for each modality that has a gate."""
        series: dict[str, list[tuple[float, float]]] = {}
        for row in self.rows:
            for modality, weights in sorted((row.get("gate") or {}).items()):
                if isinstance(weights, dict) and "emotion" in weights:
                    point = (float(row["step"]), float(weights["emotion"]))
                    series.setdefault(modality, []).append(point)
        return series


@dataclass(frozen=True)
class Run:
    """One run directory: its `results.json` and its training stages."""

    path: Path
    results: dict[str, Any]
    stages: list[Stage] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The directory's name, with the seed where one is recorded."""
        seed = self.results.get("info", {}).get("seed")
        return self.path.name + (f" (seed {seed})" if seed is not None else "")

    @property
    def benchmarks(self) -> dict[str, dict[str, Any]]:
        """The benchmarks, the main one first."""
        runs, main = self.results["runs"], self.results.get("main")
        return {name: runs[name] for name in sorted(runs, key=lambda name: (name != main, name))}

    def file(self, path: str) -> Path:
        """A path of `results.json`: relative ones start at the run directory."""
        return self.path / path


def load_run(run_dir: Path) -> Run:
    """Read a run directory; DataError without a readable `results.json` of our form."""
    run_dir = Path(run_dir)
    path = run_dir / "results.json"
    fix = "run eval.py (or `make demo`) first, and name its run directory"
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(str(path), f"cannot be read: {error.strerror}", fix=fix) from error
    except ValueError as error:
        raise DataError(str(path), f"not JSON: {error}", fix=fix) from error
    if not isinstance(results, dict) or not _is_complete(results.get("runs")):
        raise DataError(str(path), 'no "runs" of one benchmark or more', fix=fix)
    return Run(run_dir, results, _stages(run_dir / "train"))


def table(summary: Mapping[str, Any]) -> list[Row]:
    """The variants in reading order: more modalities first, baselines last."""
    paired = {entry["other"]: entry for entry in summary["comparisons"]}
    names = sorted(summary["variants"], key=_variant_order)
    return [
        Row(name, summary["variants"][name], name == summary["reference"], paired.get(name))
        for name in names
    ]


def is_fraction(metric: str) -> bool:
    """Whether a metric lies between 0 and 1; an error in the unit of the scale does not."""
    found = METRICS[metric]
    return found.worst is not None and max(found.best, found.worst) <= 1


def is_percent(metric: str) -> bool:
    """Whether a metric is a share of something: a correlation lies in the range, but is none."""
    return is_fraction(metric) and METRICS[metric].scale in ("share", "error")


def drawn_metric(summary: Mapping[str, Any]) -> str:
    """A task's first metric that a bar from 0 to 1 can show; its first one if there is none."""
    names = summary["task"]["metrics"]
    return next((name for name in names if is_fraction(name)), names[0])


def bar_items(
    summary: Mapping[str, Any], metric: str, part: tuple[str, str] | None = None
) -> list[Bar]:
    """One bar for each variant, of the whole benchmark or of one (key, part) of its breakdown."""
    items = []
    for row in table(summary):
        scores = row.scores["breakdowns"][part[0]][part[1]] if part else row.scores
        found = scores["metrics"][metric]
        kind = "main" if row.is_reference else "base" if row.name in BASELINES else "plain"
        ceiling = row.scores.get("ceiling") if part is None else None
        if found["value"] is not None:
            ends = found["ci_low"], found["ci_high"]
            items.append(Bar(row.name, found["value"], *ends, ceiling, kind))
    return items


def parts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every (label key, part) by which the task is broken down."""
    found = summary["variants"][summary["reference"]]["breakdowns"]
    return [(key, part) for key in summary["task"]["breakdowns"] for part in found[key]]


def spread(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """For the first run's main benchmark: each variant's values, their mean and deviation."""
    from statistics import mean, stdev

    name, first = next(iter(runs[0].benchmarks.items()))
    metric = first["task"]["metrics"][0]
    empty: dict[str, Any] = {"variants": {}}
    mains = [run.benchmarks.get(name, empty) for run in runs]
    names = sorted({name for main in mains for name in main["variants"]}, key=_variant_order)
    rows = []
    for name in names:
        values = [main["variants"].get(name, {}).get("metrics", {}).get(metric) for main in mains]
        found = [v["value"] for v in values if v and v["value"] is not None]
        rows.append(
            {
                "name": name,
                "metric": metric,
                "values": values,
                "mean": mean(found) if found else None,
                "sd": stdev(found) if len(found) > 1 else None,
            }
        )
    return rows


def _is_complete(runs: Any) -> bool:
    wanted = {"task", "reference", "variants", "comparisons"}
    return (
        isinstance(runs, dict)
        and bool(runs)
        and all(
            isinstance(run, dict) and wanted <= run.keys() and run["reference"] in run["variants"]
            for run in runs.values()
        )
    )


def _variant_order(name: str) -> tuple[int, int, str]:
    place = BASELINES.index(name) + 1 if name in BASELINES else 0
    return place, -name.count("+"), name


def _stages(folder: Path) -> list[Stage]:
    found = [_stage(path) for path in sorted(folder.glob("*/metrics.jsonl"))]
    order = {name: place for place, name in enumerate(_STAGES)}
    return sorted(found, key=lambda stage: (order.get(stage.name, len(order)), stage.name))


def _stage(path: Path) -> Stage:
    """A resumed run logs some steps again: the last row of a step is the one that counts."""
    by_step: dict[float, dict[str, Any]] = {}
    bad = 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
            if not {"eval", "rollout"} & row.keys() or "loss" in row:
                float(row["loss"])
            by_step[float(row["step"])] = row
        except (ValueError, TypeError, KeyError):
            bad += 1
    rows = [by_step[step] for step in sorted(by_step)]
    return Stage(path.parent.name, rows, bad, Rollouts.read(path.parent))
