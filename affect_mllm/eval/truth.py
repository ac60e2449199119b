"""What is true of a row, by the kind of task: a label, labels, a number, shares or a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from affect_mllm.eval.read.polarity import POLES
from affect_mllm.eval.read.shares import normalised
from affect_mllm.types import finite

Kind = Literal[
    "closed_label",
    "multi_label",
    "open_vocabulary",
    "sentiment",
    "regression",
    "distribution",
    "statement_judgment",
    "multiple_choice",
    "pairwise_preference",
    "short_answer",
    "description",
    "claims",
]
Value = Any  # str, tuple of str, float, or dict of shares by label
TRUTH_KEYS: dict[Kind, str] = {
    "closed_label": "emotion",
    "multi_label": "emotions",
    "open_vocabulary": "emotions",
    "sentiment": "sentiment",
    "regression": "sentiment",
    "distribution": "distribution",
    "statement_judgment": "is_correct",
    "multiple_choice": "answer",
    "pairwise_preference": "preference",
    "short_answer": "answers",
    "description": "description",
    "claims": "",
}
DEFAULT_POLICIES: dict[Kind, str] = {
    "closed_label": "closed_label_v4",
    "multi_label": "multi_label_v3",
    "open_vocabulary": "label_list_v3",
    "sentiment": "polarity_v3",
    "regression": "number_v2",
    "distribution": "shares_v3",
    "statement_judgment": "yes_no_v2",
    "multiple_choice": "letter_v2",
    "pairwise_preference": "preference_v2",
    "short_answer": "short_answer_v1",
    "description": "text_v2",
    "claims": "claims_v1",
}
# Whose answers are labels that the task lists.
CLOSED: tuple[Kind, ...] = (
    "closed_label",
    "multi_label",
    "distribution",
    "statement_judgment",
    "pairwise_preference",
)
_LABELLED: tuple[Kind, ...] = (*CLOSED, "multiple_choice", "sentiment")
# Keys of a task that only some kinds know; all others mean something to each of them.
KINDS_OF_KEY: dict[str, tuple[Kind, ...]] = {
    "labels": (*_LABELLED, "regression"),
    "rename": (*_LABELLED, "open_vocabulary"),
    "low": ("regression",),
    "high": ("regression",),
    "levels": ("regression",),
    "aliases": ("closed_label", "multi_label", "sentiment", "regression", "distribution",
                "statement_judgment"),
    "verdicts": ("description",),
    "neutral": ("sentiment",),
    "open_question": ("short_answer",),
}  # fmt: skip


def one_label(value: Any, labels: Sequence[str], rename: Mapping[str, str]) -> str | None:
    """`value`, renamed, if it is one of `labels`; else None."""
    label = rename.get(value, value) if isinstance(value, str) else None
    return label if label in labels else None


def several_labels(value: Any, labels: Sequence[str], rename: Mapping[str, str]) -> Value | None:
    """The tuple of `value`, a list whose items are all among `labels`, or one of them."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not values:
        return None
    found = tuple(one_label(each, labels, rename) for each in values)
    return None if None in found else found


def free_labels(value: Any, labels: Sequence[str], rename: Mapping[str, str]) -> Value | None:
    """The tuple of `value`, a label or a list of labels of any kind, not empty."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not values:
        return None
    if not all(isinstance(each, str) and each.strip() for each in values):
        return None
    return tuple(rename.get(each, each) for each in values)


def pole(value: Any, labels: Sequence[str], rename: Mapping[str, str]) -> str | None:
    """The pole of a number by its sign, or of a word for one."""
    if finite(value):
        return POLES[1 + (value > 0) - (value < 0)]
    return one_label(value.lower() if isinstance(value, str) else value, POLES, rename)


def verdict(value: Any, labels: Sequence[str], rename: Mapping[str, str]) -> str | None:
    """The first label for true, the second for false, or a label itself."""
    return labels[not value] if isinstance(value, bool) else one_label(value, labels, rename)


def number(value: Any, labels: Sequence[str], rename: Mapping[str, str]) -> float | None:
    """`value` as a float; the task checks that it lies on the scale."""
    return float(value) if finite(value) else None


def distribution(value: Any, labels: Sequence[str], rename: Mapping[str, str]) -> Value | None:
    """Shares of the labels, from numbers or votes by label, of which none is below 0."""
    if not isinstance(value, Mapping) or not all(map(finite, value.values())):
        return None
    known = {rename.get(label, label): float(number) for label, number in value.items()}
    fits = len(known) == len(value) and known.keys() <= set(labels)
    if not fits or any(number < 0 for number in known.values()):
        return None
    return normalised(known, labels)


def text(value: Any, labels: Sequence[str], rename: Mapping[str, str]) -> str | None:
    """A text that is not blank."""
    return value if isinstance(value, str) and value.strip() else None


def texts(value: Any, labels: Sequence[str], rename: Mapping[str, str]) -> Value | None:
    """The tuple of a text or of several, none of them blank."""
    return free_labels(value, labels, {})


def nothing(value: Any, labels: Sequence[str], rename: Mapping[str, str]) -> Value:
    """Of a task that no label of a row decides: the same of every row."""
    return ()


READERS: dict[Kind, Callable[[Any, Sequence[str], Mapping[str, str]], Value | None]] = {
    "closed_label": one_label,
    "multi_label": several_labels,
    "open_vocabulary": free_labels,
    "sentiment": pole,
    "regression": number,
    "distribution": distribution,
    "statement_judgment": verdict,
    "multiple_choice": one_label,
    "pairwise_preference": one_label,
    "short_answer": texts,
    "description": text,
    "claims": nothing,
}
