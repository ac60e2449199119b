"""Puts the runs of one benchmark side by side, and writes `results.json` of a run directory.

RUN/results.json has on its top level what `score` gives for the reference variant of the first
benchmark (`benchmark version compat checkpoint prompt_hash metrics …`), its `variants` and
`comparisons`, the means of the `suites` that are complete, then `info` (what was run: seed,
config, …) and

    "runs": {BENCHMARK: {
        "task": {…}, "reference": VARIANT, "n": …,
        "manifest": PATH, "predictions": {VARIANT: PATH},   paths inside RUN are relative to it
        "variants": {VARIANT: {everything of score(), "ceiling": float | null,
                               "at_or_under_ceiling": bool | null,
                               "above_ceiling": bool | null   (its whole interval lies above)}},
        "comparisons": [{"reference", "other", "n", "n10", "n01", "difference",
                         "se", "detectable", "needed", "t_test",     of `difference`
                         "metric": {"name", "value", "ci_low", "ci_high", "se", "method"},
                         "p", "p_holm"}],     of `metric`, alone and among all comparisons
        "wordings", "repeats": {VARIANT: {…}}}}    asked in other ways, as `score.varied` has them
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import log
from pathlib import Path
from statistics import median_low
from typing import Any

from affect_mllm.eval.files import rounded, write_json_atomic
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.metrics.shares import FLOOR
from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.score.paired import paired, with_holm
from affect_mllm.eval.score.scoring import check_rows, read_beside, result_of
from affect_mllm.eval.score.suite import suite_means
from affect_mllm.eval.task import Task
from affect_mllm.types import ConfigError, DataError, Sample

MAJORITY = "majority"
ALL_MODALITIES = "face+audio+text"


def summarise(
    task: Task,
    samples: Sequence[Sample],
    runs: Mapping[str, Sequence[Prediction]],
    *,
    ceilings: Mapping[str, float] | None = None,
    reference: str = ALL_MODALITIES,
) -> dict[str, Any]:
    """The scores of every variant, of the majority class, and `reference` against each of them.

    `runs` maps a variant ("face", "face+audio", "untrained" …) to its predictions; `ceilings`
    gives the best accuracy that any model can reach from it. A comparison counts the samples that
    only one of two runs has right, says how small a difference could show (`statistics.compared`),
    and gives the difference of the first metric with its interval and the p of a permutation over
    groups, `p_holm` adjusted for the number of comparisons. Raises ConfigError if `reference` is
    not in `runs`, and what `score` raises, with the variant's name.
    """
    if reference not in runs:
        raise ConfigError("reference", repr(reference), expected=f"one of {sorted(runs)}")
    chosen, known = task.select(samples), {sample.id for sample in samples}
    truth = [task.truth_of(sample) for sample in chosen]
    everything = {**runs, MAJORITY: _majority(task, chosen, truth)}
    variants, reads = {}, {}
    for name, predictions in everything.items():
        try:
            check_rows(predictions, known)
            reads[name] = read_beside(task, chosen, truth, predictions)
            scored = result_of(task, reads[name], predictions)
        except DataError as error:
            raise DataError(f"{name}: {error.where}", error.got, expected=error.expected) from error
        variants[name] = scored | _against_ceiling(scored, (ceilings or {}).get(name))
    comparisons = [
        _compare(task, reads, reference, other) for other in sorted(reads) if other != reference
    ]
    return rounded(
        {
            "task": asdict(task),
            "reference": reference,
            "n": variants[reference]["n"],
            "variants": variants,
            "comparisons": with_holm(comparisons),
        }
    )


def majority_predictions(task: Task, samples: Sequence[Sample]) -> list[Prediction]:
    """The most frequent truth of the task's own samples, given as every answer.

    Of a scale that is the median; of level names the one nearest to it; of distributions their
    mean. A task whose answers are texts has no such answer, and gets none.
    """
    chosen = task.select(samples)
    return _majority(task, chosen, [task.truth_of(sample) for sample in chosen])


def _majority(task: Task, chosen: Sequence[Sample], truths: list[Any]) -> list[Prediction]:
    if task.kind in ("description", "claims"):
        return []
    if task.kind == "short_answer":
        said = Counter(answer for each in truths for answer in set(each))
        likeliest = min(said, key=lambda text: (-said[text], text))
        return [Prediction(sample.id, likeliest) for sample in chosen]
    if task.kind == "distribution":
        mean = {label: sum(each[label] for each in truths) / len(truths) for label in task.labels}
        scores = {label: log(max(share, FLOOR)) for label, share in mean.items()}
        return [Prediction(sample.id, scores=scores) for sample in chosen]
    labels = _middle(task, truths) if task.kind == "regression" else _mode(task, truths)
    return [Prediction(sample.id, labels=labels) for sample in chosen]


def write_results(
    run_dir: Path, summaries: Mapping[str, dict[str, Any]], *, info: dict[str, Any] | None = None
) -> Path:
    """Write RUN_DIR/results.json in the form described above; returns its path.

    `summaries` maps each benchmark, the main one first, to what `summarise` gave, to which the
    caller added "manifest" and "predictions". ConfigError if there is none.
    """
    if not summaries:
        raise ConfigError("summaries", "none", expected="at least one benchmark")
    runs = {name: _with_paths(Path(run_dir), summary) for name, summary in summaries.items()}
    main = next(iter(runs.values()))
    content = {
        **main["variants"][main["reference"]],
        "variants": {
            name: {key: variant[key] for key in ("metrics", "ceiling")}
            for name, variant in main["variants"].items()
        },
        "comparisons": main["comparisons"],
        "suites": suite_means(runs),
        "info": info or {},
        "main": next(iter(runs)),
        "runs": runs,
    }
    path = Path(run_dir) / "results.json"
    write_json_atomic(path, content)
    return path


def read_runs(run_dir: Path) -> dict[str, dict[str, Any]]:
    """The summaries of a run directory's results.json by benchmark, for `write_results` to keep.

    Their paths hold from anywhere; empty where there is no results.json yet.
    """
    path = Path(run_dir) / "results.json"
    if not path.is_file():
        return {}
    runs: dict[str, dict[str, Any]] = json.loads(path.read_text())["runs"]
    for summary in runs.values():
        if summary.get("manifest") is not None:
            summary["manifest"] = str(Path(run_dir, summary["manifest"]))
        files = (summary.get("predictions") or {}).items()
        summary["predictions"] = {name: str(Path(run_dir, file)) for name, file in files}
    return runs


def _middle(task: Task, truths: list[float]) -> tuple[str, ...]:
    middle = median_low(truths)
    if not task.levels:
        return (f"{middle:g}",)
    return (min(task.levels, key=lambda name: abs(task.levels[name] - middle)),)


def _mode(task: Task, truths: list[Any]) -> tuple[str, ...]:
    """The most frequent truth; of a tie the first in the task's order, then in the alphabet."""
    sets = Counter(each if isinstance(each, tuple) else (each,) for each in truths)
    order = {label: place for place, label in enumerate(task.labels)}
    return min(sets, key=lambda each: (-sets[each], order.get(each[0], 0), each))


def _against_ceiling(scored: dict[str, Any], ceiling: float | None) -> dict[str, Any]:
    found = scored["metrics"].get("accuracy")
    if ceiling is None or found is None:
        return {"ceiling": ceiling, "at_or_under_ceiling": None, "above_ceiling": None}
    return {
        "ceiling": ceiling,
        "at_or_under_ceiling": found["value"] <= ceiling,
        "above_ceiling": found["ci_low"] is not None and found["ci_low"] > ceiling,
    }


def _compare(task: Task, reads: Mapping[str, Read], reference: str, other: str) -> dict[str, Any]:
    names = {"reference": reference, "other": other}
    return names | paired(task, reads[reference], reads[other])


def _with_paths(run_dir: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """`summary` whose paths are relative to the run directory where they lie inside it."""
    result = dict(summary)
    if result.get("manifest") is not None:
        result["manifest"] = _relative_to_run(run_dir, result["manifest"])
    result["predictions"] = {
        name: _relative_to_run(run_dir, path)
        for name, path in (result.get("predictions") or {}).items()
    }
    return result


def _relative_to_run(run_dir: Path, path: str | Path) -> str:
    full, root = Path(path).resolve(), run_dir.resolve()
    return str(full.relative_to(root)) if full.is_relative_to(root) else str(full)
