"""True label lists, given back as answers in any usual form, are right."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from affect_mllm.eval.benchmarks import benchmark_names, load_task
from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.read.policies import POLICIES
from affect_mllm.eval.score.scoring import read_answers
from affect_mllm.eval.task import Task
from affect_mllm.types import Sample

FIXTURES = Path(__file__).parents[1] / "contracts" / "benchmarks"
FORMS: dict[str, Callable[[list[str]], str]] = {
    "commas": ", ".join,
    "json": json.dumps,
    "python": str,
    "object": lambda labels: json.dumps({"emotions": labels}),
    "fence": lambda labels: f"```json\n{json.dumps(labels)}\n```",
    "bullets": lambda labels: "\n".join(f"- {label}" for label in labels),
    "numbers": lambda labels: "\n".join(f"{i}. {label}" for i, label in enumerate(labels, 1)),
    "semicolons": "; ".join,
    "boxed": lambda labels: rf"\boxed{{{', '.join(labels)}}}",
    "tagged": lambda labels: f"<think>sad? angry?</think><answer>{', '.join(labels)}</answer>",
    "key": lambda labels: f"Emotions: {', '.join(labels)}.",
    "upper": lambda labels: ", ".join(labels).upper(),
}
LISTS = sorted(name for name in benchmark_names()
               if load_task(name).kind in ("open_vocabulary", "multi_label"))  # fmt: skip
OWN = [
    name
    for name, policy in POLICIES.items()
    if policy.gives == "labels"
    and not policy.read.__module__.endswith(("publishers", "toolkit_letters"))
]


def published() -> list[list[str]]:
    """The true lists of the authors' own cases, where a folder with them is given."""
    folder = os.environ.get("AFFECT_REFERENCE_DIR")
    if folder is None:
        return []
    cases = json.loads((Path(folder) / "emotion_wheel_cases.json").read_text())["cases"]
    lists = [case["gt"] for case in cases]
    lists = [each for gt in lists for each in (gt.values() if isinstance(gt, dict) else [gt])]
    return [each for each in lists if isinstance(each, list) and each]


def rows_of(task: Task) -> Iterator[Sample]:
    found = json.loads((FIXTURES / f"{task.name}.json").read_text())["rows"]
    lists: list[Any] = [row["labels"][task.truth] for row in found]
    extra = published() if task.kind == "open_vocabulary" else []
    for i, labels in enumerate([*lists, *extra]):
        filled = {**found[0]["labels"], task.truth: labels}
        yield Sample(f"s{i:04d}", Path(), split=task.split, labels=filled)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", LISTS)
def test_they_score_one(name: str, form: str) -> None:
    task = load_task(name)
    samples = list(rows_of(task))
    truths = [task.truth_of(sample) or () for sample in samples]
    said = [
        Prediction(sample.id, FORMS[form](list(truth)))
        for sample, truth in zip(samples, truths, strict=True)
    ]
    for policy in OWN:
        gives_words = policy.startswith("label_list")
        if gives_words != (task.kind == "open_vocabulary"):
            continue
        read = read_answers(task, samples, said, policy=policy)
        for metric in task.metrics:
            formula = METRICS[metric]
            found = formula.of(formula.statistic(read))
            wrong = [said[i].response for i in range(len(said)) if not read.right[i]]
            assert found == pytest.approx(formula.best), (policy, metric, wrong)


@pytest.mark.parametrize("name", [n for n in LISTS if load_task(n).kind == "open_vocabulary"])
def test_the_publishers_list_is_taken_by_its_own_policy(name: str) -> None:
    """AffectGPT's answers are lists in brackets; its reader splits them at commas."""
    task = load_task(name)
    samples = list(rows_of(task))
    said = [Prediction(s.id, f"[{', '.join(task.truth_of(s) or ())}]") for s in samples]
    read = read_answers(task, samples, said, policy="affectgpt_list")
    for metric in task.metrics:
        formula = METRICS[metric]
        assert formula.of(formula.statistic(read)) == pytest.approx(formula.best), metric
