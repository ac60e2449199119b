"""The answer of one prediction: scores or labels given with it, else what the policy reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from affect_mllm.eval.predictions import Prediction, softmax
from affect_mllm.eval.read import closed, lists
from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.policies import POLICIES, extract
from affect_mllm.eval.task import Task
from affect_mllm.types import Sample


def answer_of(task: Task, sample: Sample, row: Prediction, *, policy: str) -> Extraction:
    """What `row` answers as the task's kind has it, by `scores`, `labels` or its response.

    `scores` decide a task with labels: the best label, a tie being ambiguous; on a scale of levels
    their mean weighted by softmax; the softmax itself where shares are asked for. `labels` are
    taken as extracted elsewhere, before `scores` if the row names its `extraction`.
    """
    space = task.space(sample)
    gives = POLICIES[policy].gives
    extracted = row.labels is not None and row.extraction is not None and gives != "text"
    if row.scores and space.labels and not extracted:
        return _from_scores(task, row.scores)
    if row.labels is not None and gives != "text":
        return _from_labels(task, row.labels, space, policy)
    found = extract(row.response, space, policy)
    return _on_scale(task, found)


def level_mean(scores: Mapping[str, float], levels: Mapping[str, float]) -> float:
    """The mean of the levels weighted by the softmax of their scores (EEmo-Bench's assessment)."""
    weights = softmax({name: scores[name] for name in levels})
    return sum(levels[name] * weight for name, weight in weights.items())


def _from_scores(task: Task, scores: Mapping[str, float]) -> Extraction:
    known = {label: scores[label] for label in task.labels if label in scores}
    if len(known) < len(task.labels):
        return Extraction(None, "out_of_vocabulary")
    if task.levels:
        return Extraction(level_mean(known, task.levels), "ok")
    if task.kind == "distribution":
        return Extraction(softmax(known), "ok")
    best = [label for label, value in known.items() if value == max(known.values())]
    if len(best) > 1:
        return Extraction(None, "ambiguous")
    return Extraction((best[0],) if task.kind == "multi_label" else best[0], "ok")


def _from_labels(task: Task, labels: tuple[str, ...], space: Space, policy: str) -> Extraction:
    """A file of another project's labels: checked, but not read."""
    if task.kind == "open_vocabulary":
        return Extraction(labels, "ok") if labels else Extraction(None, "empty")
    if task.kind == "sentiment" and policy == task.policy:
        return lists.polarity_of(labels)
    if POLICIES[policy].gives in ("number", "shares") or policy != task.policy:
        return extract(labels[0] if len(labels) == 1 else "", space, policy)
    if task.kind == "multi_label":
        return closed.several_from_labels(labels, task.labels)
    return _on_scale(task, closed.from_labels(labels, task.labels))


def _on_scale(task: Task, found: Extraction) -> Extraction:
    """The number that a level's name means."""
    if task.levels and found.label is not None:
        return replace(found, value=task.levels[found.label])
    return found
