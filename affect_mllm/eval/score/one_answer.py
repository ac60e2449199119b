"""The answer of one prediction: scores or labels given with it, else what the policy reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from affect_mllm.eval.predictions import Prediction, softmax
from affect_mllm.eval.read import closed, polarity
from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.policies import POLICIES, extract
from affect_mllm.eval.task import Task
from affect_mllm.types import Sample

CUT_OFF = frozenset(["length", "max_tokens", "max_output_tokens", "max_new_tokens"])
READ = ("text", "senses")  # out of the response alone
_ENDS = re.compile(r"[.!?](?=\s)|[。！？\n]|</\w+>|\}")


def answers_of(
    task: Task, samples: Sequence[Sample], rows: Sequence[Prediction | None], *, policy: str
) -> list[Extraction | None]:
    """`answer_of` of each row, None where there is none; equal answers are read once, if the task
    asks the same of every sample."""
    if not task.asks_alike(samples):
        return [
            None if row is None else answer_of(task, task.space(sample), row, policy=policy)
            for sample, row in zip(samples, rows, strict=True)
        ]
    space = task.space(samples[0])
    known: dict[Any, Extraction] = {}

    def read(row: Prediction) -> Extraction:
        if row.scores:
            return answer_of(task, space, row, policy=policy)
        told = row.response, row.labels, row.ranking[:1], row.finish_reason, row.extraction
        if told not in known:
            known[told] = answer_of(task, space, row, policy=policy)
        return known[told]

    return [None if row is None else read(row) for row in rows]


def answer_of(task: Task, space: Space, row: Prediction, *, policy: str) -> Extraction:
    """What `row` answers as the task's kind has it, by its `scores`, `ranking`, `labels` or text.

    `scores` decide a task with labels: the best label, a tie being ambiguous; on a scale of levels
    their mean weighted by softmax; the softmax itself where shares are asked for. Of a `ranking`
    the first label is the answer. `labels` are taken as extracted elsewhere, before `scores` if the
    row names its `extraction`. Of a response that a limit cut off only what was complete is read.
    """
    gives = POLICIES[policy].gives
    extracted = row.labels is not None and row.extraction is not None and gives not in READ
    if row.scores and space.labels and not extracted:
        return _from_scores(task, row.scores)
    if row.ranking and gives == "label" and row.labels is None:
        return _on_scale(task, closed.from_labels(row.ranking[:1], space))
    if row.labels is not None and gives not in READ:
        return _from_labels(task, row.labels, space, policy)
    response = row.response
    if is_cut_off(row):
        response = complete_part(response)
        found = extract(response, space, policy)
        return _on_scale(task, found if found.status == "ok" else Extraction(None, "truncated"))
    return _on_scale(task, extract(response, space, policy))


def ranked(task: Task, row: Prediction) -> Prediction:
    """The row with its ranking in the task's own names of labels."""
    if not (row.ranking and task.aliases):
        return row
    names = {name.casefold(): label for name, label in task.aliases.items()}
    return replace(row, ranking=tuple(names.get(x.casefold(), x) for x in row.ranking))


def is_cut_off(row: Prediction) -> bool:
    """Whether a limit of tokens ended the answer."""
    return (row.finish_reason or "").lower() in CUT_OFF


def complete_part(response: str) -> str:
    """A response that was cut off, up to the end of its last complete sentence, line or tag."""
    ends = [match.end() for match in _ENDS.finditer(response)]
    return response[: ends[-1]] if ends else ""


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
        return polarity.polarity_of(labels)
    if POLICIES[policy].gives in ("number", "shares") or policy != task.policy:
        return extract(labels[0] if len(labels) == 1 else "", space, policy)
    if task.kind == "multi_label":
        return closed.several_from_labels(labels, space)
    return _on_scale(task, closed.from_labels(labels, space))


def _on_scale(task: Task, found: Extraction) -> Extraction:
    """The number that a level's name means."""
    if task.levels and found.label is not None:
        return replace(found, value=task.levels[found.label])
    return found
