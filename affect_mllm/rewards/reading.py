"""What rewards read of answers and rows, as evaluation reads it."""

from __future__ import annotations

from affect_mllm.eval.read.base import Space
from affect_mllm.eval.read.policies import extract
from affect_mllm.train.rollout.reward import Answered
from affect_mllm.types import DataError

LISTS = "label_list_v3"  # what the benchmarks of open vocabularies read with


def space_of(answer: Answered, labels: tuple[str, ...] = ()) -> Space:
    """What the answer may be: one that repeats the question is read without it."""
    return Space(labels=labels, question=answer.question)


def said(answer: Answered) -> tuple[str, ...]:
    """The free labels that evaluation reads in an answer; none where it reads nothing."""
    value = extract(answer.text, space_of(answer), LISTS).value
    return value if isinstance(value, tuple) else ()


def labels_of(answer: Answered, name: str) -> tuple[str, ...]:
    """The row's label of that name, a word or a list. DataError where it has none."""
    value = answer.truth.get(name)
    if isinstance(value, str) and value:
        return (value,)
    if isinstance(value, list | tuple) and value:
        return tuple(map(str, value))
    raise DataError(
        f"row {answer.id}", f"no label {name}", expected="what the reward compares with"
    )
