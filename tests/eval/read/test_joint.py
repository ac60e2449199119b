"""Two labels in one answer, and how two publishers read theirs."""

from __future__ import annotations

import pytest

from affect_mllm.eval.read.base import Space
from affect_mllm.eval.read.policies import extract
from affect_mllm.eval.task import Task
from affect_mllm.types import ConfigError

EMOTIONS, INTENTS = ("happy", "sad", "neutral"), ("asking", "agreeing", "neutral")
PAIRS = Space(tuple(f"{emotion}_{intent}" for emotion in EMOTIONS for intent in INTENTS))
CHOICE = Space(("a1", "a2"))


@pytest.mark.parametrize("emotion", EMOTIONS)
@pytest.mark.parametrize("intent", INTENTS)
@pytest.mark.parametrize("form", ["emotion: {0}, intent: {1}", "The intent is {1}, she is {0}."])
def test_every_pair_is_read_in_either_order(emotion, intent, form) -> None:
    found = extract(form.format(emotion, intent), PAIRS, "joint_label_v3")
    assert (found.value, found.status) == (f"{emotion}_{intent}", "ok")


@pytest.mark.parametrize(
    ("response", "status"),
    [
        ("happy", "out_of_vocabulary"),
        ("neutral", "out_of_vocabulary"),
        ("happy, sad, asking", "ambiguous"),
        ("happy, asking, neutral", "ambiguous"),
        ("I cannot tell the intent, but she is happy", "refused"),
        ("?!", "empty"),
    ],
)
def test_half_an_answer_and_too_much_of_one_are_none(response, status) -> None:
    assert extract(response, PAIRS, "joint_label_v3").status == status


def test_a_pair_that_the_task_lacks_is_none() -> None:
    known = Space(("happy_asking", "sad_agreeing"))
    assert extract("happy, agreeing", known, "joint_label_v3").status == "out_of_vocabulary"


def test_labels_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(ConfigError, match="extraction"):
        Task("toy", "1", "Which one?", ("happy", "sad"), extraction="joint_label_v3")


@pytest.mark.parametrize(
    ("response", "label"),
    [
        ("not happy but sad, agreeing", "happy_agreeing"),
        ("neutral, agreeing", "neutral_agreeing"),
        ("sad", None),
    ],
)
def test_emobench_m_takes_the_first_of_its_lists(response, label) -> None:
    assert extract(response, PAIRS, "first_of_each").value == label


@pytest.mark.parametrize(
    ("response", "label"),
    [("A2.", "a2"), ("a1 beats a2", "a1"), ("same, or a2", "a1"), ("the second", "a1")],
)
def test_mer2026_takes_the_first_name_and_else_the_first_description(response, label) -> None:
    assert extract(response, CHOICE, "mer_prefer").value == label
