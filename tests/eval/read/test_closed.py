"""Closed labels on answers as models write them, English and Chinese."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affect_mllm.eval.read.base import STATUSES, Extraction, Space
from affect_mllm.eval.read.closed import from_labels
from affect_mllm.eval.read.policies import extract
from affect_mllm.types import ConfigError

POLICY = "closed_label_v4"
LABELS = ("happy", "sad", "angry", "surprise", "fear", "disgust", "neutral")


def read(response, labels=LABELS, policy=POLICY):
    return extract(response, Space(labels=tuple(labels)), policy)


@pytest.mark.parametrize(
    ("response", "label"),
    [
        ("happy", "happy"),
        ("Happy.", "happy"),
        ("**ANGRY**", "angry"),
        ("The person expresses sadness.", "sad"),
        ("anger", "angry"),
        ("joy", "happy"),
        ("They look surprised!", "surprise"),
        ("She is afraid", "fear"),
        ("ｈａｐｐｙ", "happy"),
        ("happy, happiness, joyful", "happy"),
        ("not angry, but sad", "sad"),
        ("The person isn't angry. They are sad.", "sad"),
        ("The person isn’t angry; sad", "sad"),
        ("neither happy nor sad; neutral", "neutral"),
        ("disgust rather than anger", "disgust"),
        ("not angry or afraid but happy", "happy"),
        ("not happy and sad", "sad"),
        ("no doubt this is fear", "fear"),
        ("I'm sorry, the person looks sad", "sad"),
        ("unhappy", "sad"),
        ("furious", "angry"),
        ("no emotion at all", "neutral"),
        ("<think>angry? or sad?</think>They fear something.", "fear"),
        ("<think>x</think> I weighed joy and fear. <answer> Fear </answer>", "fear"),
        ("他很生气", "angry"),
        ("不是生气，而是悲伤。", "sad"),
        ("毫无疑问是恐惧", "fear"),
    ],
)
def test_one_label_is_read(response, label):
    assert read(response) == Extraction(label, "ok")


@pytest.mark.parametrize(
    ("response", "status"),
    [
        ("", "empty"),
        (" \n…!", "empty"),
        ("happy or sad", "ambiguous"),
        ("not only happy but also surprised", "ambiguous"),
        ("Answer with one of: happy, sad, angry", "ambiguous"),
        ("I cannot determine whether the person is happy", "refused"),
        ("I'm sorry, I can't help with that.", "refused"),
        ("bored", "out_of_vocabulary"),
        ("<think>they look angry", "empty"),
        ("<answer></answer> sad", "empty"),
        ("我无法判断", "refused"),
        ("他没有开心", "out_of_vocabulary"),
        ("不仅开心而且惊讶", "ambiguous"),
        ("happyness", "out_of_vocabulary"),
        ("not angry", "out_of_vocabulary"),
        ("not angry or sad or afraid", "out_of_vocabulary"),
        ("does not appear to be very happy", "out_of_vocabulary"),
    ],
)
def test_nothing_is_guessed(response, status):
    assert read(response) == Extraction(None, status)


def test_a_synonym_shared_by_two_labels_is_none_of_them():
    assert read("joyful", ("joy", "happy")).label == "joy"
    assert read("delighted", ("joy", "happy")).status == "out_of_vocabulary"
    assert read("joy", ("joy", "happy")).label == "joy"


def test_labels_keep_their_own_spelling_and_may_have_several_words():
    assert read("it is PLEASANT   surprise", ("Pleasant Surprise", "Fear")).label == (
        "Pleasant Surprise"
    )
    assert read("angry", ("Anger", "Fear")).label == "Anger"


@given(st.text(max_size=80))
def test_any_text_gets_one_status_and_a_label_only_when_ok(text):
    found = read(text)
    assert found.status in STATUSES
    assert (found.label in LABELS) == (found.status == "ok")


@pytest.mark.parametrize(
    ("given_labels", "expected"),
    [
        (["Happy"], Extraction("happy", "ok")),
        (["sad", "sad"], Extraction("sad", "ok")),
        (["sad", "angry"], Extraction(None, "ambiguous")),
        ([], Extraction(None, "empty")),
        (["joyful"], Extraction(None, "out_of_vocabulary")),
    ],
)
def test_labels_extracted_elsewhere(given_labels, expected):
    assert from_labels(given_labels, Space(labels=LABELS)) == expected


def test_an_unknown_policy_is_named():
    with pytest.raises(ConfigError, match=POLICY):
        read("happy", policy="closed_label_v0")


@pytest.mark.parametrize(
    ("response", "value", "status"),
    [
        ("sad and angry", ("sad", "angry"), "ok"),
        ("anger, sadness; not fear", ("sad", "angry"), "ok"),
        ("bored", None, "out_of_vocabulary"),
        ("", None, "empty"),
        ("I can't tell", None, "refused"),
    ],
)
def test_several_labels_come_in_the_order_of_the_task(response, value, status):
    assert read(response, policy="multi_label_v3") == Extraction(value, status)


@pytest.mark.parametrize(
    ("response", "label"),
    [("insulted", "sad"), ("insulting", "contempt"), ("smug", "contempt"), ("humble", None)],
)
def test_who_feels_is_not_who_does_it(response, label):
    status = "ok" if label else "out_of_vocabulary"
    assert read(response, (*LABELS, "contempt")) == Extraction(label, status)
