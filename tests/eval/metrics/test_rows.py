"""A row's statistic is the same in any company: parts and bounds take it from the whole."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from affect_mllm.eval.benchmarks import benchmark_names, load_task
from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.score.scoring import read_answers, score
from affect_mllm.eval.task import Task
from affect_mllm.types import Sample

FIXTURES = Path(__file__).parents[2] / "contracts/benchmarks"
TASKS = [task for task in map(load_task, benchmark_names()) if not task.verdicts]


def rows_of(task: Task, count: int = 60) -> tuple[list[Sample], list[Prediction]]:
    """Rows of the task's kind with random truths, and answers of which some are no answers."""
    draw = random.Random(task.name)
    low, high = task.scale
    values = {
        "open_vocabulary": lambda: draw.sample(["joy", "anger", "calm", "worried"], 2),
        "multi_label": lambda: draw.sample(task.labels, 2),
        "sentiment": lambda: draw.choice(task.labels),
        "regression": lambda: round(draw.uniform(low, high), 1),
        "distribution": lambda: {label: draw.random() for label in task.labels},
        "statement_judgment": lambda: draw.random() < 0.5,
        "multiple_choice": lambda: draw.choice("ABC"),
        "short_answer": lambda: draw.sample(["B", "C", "2"], 1),
        "claims": lambda: draw.choice(["Her voice shakes.", "He smiles.", "Sad.", "A loud face."]),
        "description": lambda: "a calm man who smiles " + draw.choice(task.labels or ("x",)),
    }
    value = values.get(task.kind, lambda: draw.choice(task.labels))
    filled = {key: each[0] if isinstance(each, list) else each for key, each in task.where.items()}
    parts = json.loads((FIXTURES / f"{task.name}.json").read_text())["rows"]
    samples, said = [], []
    for i in range(count):
        labels = {**filled, task.truth: value(), "part": f"p{i % 3}", "fold": str(i % 4)}
        known = parts[i % len(parts)].get("labels", {})
        labels |= {key: known.get(key, "x") for key in task.breakdowns if key not in labels}
        labels["options"] = {"A": "happy", "B": "sad", "C": "angry"}
        sample = Sample(f"s{i:02d}", Path(), split=task.split, group=f"g{i // 4}", labels=labels)
        samples.append(sample)
        told = value() if draw.random() < 0.5 else labels[task.truth]
        shown = [("face",), ("audio", "face"), ("text",)][i % 3]
        said.append(Prediction(sample.id, _answer(told, draw), modalities=shown))
    return samples, said


def _answer(told: object, draw: random.Random) -> str:
    if draw.random() < 0.15:
        return draw.choice(["", "I cannot tell.", "blah"])
    if isinstance(told, dict):
        return ", ".join(f"{name}: {100 * share:.0f}" for name, share in told.items())
    if isinstance(told, list):
        return ", ".join(told)
    return {True: "yes", False: "no"}.get(told, str(told)) if isinstance(told, bool) else str(told)


def formulas(task: Task) -> set[str]:
    theirs = (name for scorer in task.scorers.values() for name in scorer.metrics.values())
    return {*task.metrics, *theirs}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_part_takes_its_rows_from_the_whole(task: Task) -> None:
    samples, said = rows_of(task)
    read = read_answers(task, samples, said)
    some = [i for i in range(len(read)) if i % 3 == 1]
    for name in sorted(formulas(task)):
        metric = METRICS[name]
        alone = metric.of(metric.statistic(read.take(some)))
        read.statistic(metric.statistic)  # from here on it is known of the whole
        part = read.take(some)
        assert metric.of(part.statistic(metric.statistic)) == pytest.approx(alone, nan_ok=True), (
            name
        )


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_unread_answers_are_bounded_by_what_a_second_file_would_score(task: Task) -> None:
    """All of them wrong is the value; all of them right is that of a file where they are right."""
    samples, said = rows_of(task)
    found = score(replace(task, official=None), samples, said)["metrics"]
    read = read_answers(task, samples, said)
    one = task.kind == "short_answer"  # a list of one text is true, the text is the answer
    answers = [(t[0] if one else t) if s != "ok" else a
               for t, a, s in zip(read.truth, read.answers, read.status, strict=True)]  # fmt: skip
    if task.kind == "claims":  # about each sense that was shown
        shown = [tuple(n for n in ("audio", "face") if n in p.modalities) for p in said]
        answers = [a if s == "ok" else own
                   for a, s, own in zip(read.answers, read.status, shown, strict=True)]  # fmt: skip
    right = replace(read, answers=answers, status=["ok"] * len(read))
    for name in task.metrics:
        metric = METRICS[name]
        if found[name]["if_unread_right"] is None:
            continue
        assert found[name]["if_unread_wrong"] == found[name]["value"]
        expected = metric.of(metric.statistic(right))
        assert found[name]["if_unread_right"] == pytest.approx(expected, abs=1e-5), name


def test_equal_answers_are_read_once_and_alike() -> None:
    task = load_task("meld_closed")
    samples, said = rows_of(task, 40)
    together = read_answers(task, samples, said)
    for row, sample in enumerate(together.samples):
        (alone,) = (p for p in said if p.id == sample.id)
        one = read_answers(task, [sample], [alone])
        assert (one.answers, one.status) == ([together.answers[row]], [together.status[row]])


def test_rows_that_are_asked_differently_are_read_each_for_themselves() -> None:
    """The same words are an echo of one row's question and an answer to another's."""
    task = Task("t", "1", "Is she {hint}?", ("happy", "sad"))
    samples = [
        Sample(f"s{i}", Path(), split="test", labels={"emotion": "sad", "hint": hint})
        for i, hint in enumerate(("sad", "there"))
    ]
    said = [Prediction(sample.id, "Is she sad? happy") for sample in samples]
    assert not task.asks_alike(samples)
    alone = [read_answers(task, [s], [p]).answers[0] for s, p in zip(samples, said, strict=True)]
    assert read_answers(task, samples, said).answers == alone
