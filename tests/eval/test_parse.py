"""closed_label_v1 on answers as models write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affect_mllm.eval.parse import STATUSES, Extraction, extract, from_labels
from affect_mllm.types import ConfigError

LABELS = ("happy", "sad", "angry", "surprise", "fear", "disgust", "neutral")


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
    ],
)
def test_one_label_is_read(response, label):
    assert extract(response, LABELS) == Extraction(label, "ok")


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
        ("unhappy", "out_of_vocabulary"),
        ("happyness", "out_of_vocabulary"),
        ("not angry", "out_of_vocabulary"),
        ("not angry or sad or afraid", "out_of_vocabulary"),
        ("does not appear to be very happy", "out_of_vocabulary"),
    ],
)
def test_nothing_is_guessed(response, status):
    assert extract(response, LABELS) == Extraction(None, status)


def test_a_word_form_shared_by_two_labels_counts_only_as_itself():
    assert extract("joyful", ("joy", "happy")).status == "out_of_vocabulary"
    assert extract("joy", ("joy", "happy")).label == "joy"


def test_labels_keep_their_own_spelling_and_may_have_several_words():
    assert extract("it is PLEASANT   surprise", ("Pleasant Surprise", "Fear")).label == (
        "Pleasant Surprise"
    )
    assert extract("angry", ("Anger", "Fear")).label == "Anger"


@given(st.text(max_size=80))
def test_any_text_gets_one_status_and_a_label_only_when_ok(text):
    found = extract(text, LABELS)
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
    assert from_labels(given_labels, LABELS) == expected


def test_an_unknown_policy_is_named():
    with pytest.raises(ConfigError, match="closed_label_v1"):
        extract("happy", LABELS, "closed_label_v0")
