"""Numbers, letters, yes or no, and preferences."""

from __future__ import annotations

import pytest

from affect_mllm.eval.read.base import Extraction, Space
from affect_mllm.eval.read.policies import extract

SCALE = Space(low=-3.0, high=3.0)
OPTIONS = Space(options={"A": "sad", "B": "angry", "C": "very angry", "D": "a man leaves"})
STATEMENT = Space(labels=("correct", "incorrect"))
PAIR = Space(labels=("a1", "a2", "tie"))


def check(policy, space, response, expected):
    """`expected` is a value, or a status where there is none."""
    statuses = ("ambiguous", "refused", "empty", "out_of_vocabulary")
    wanted = Extraction(None, expected) if expected in statuses else Extraction(expected, "ok")
    assert extract(response, space, policy) == wanted


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("1.5", 1.5),
        ("The valence score is -1.25.", -1.25),
        ("−2", -2.0),
        ("+1", 1.0),
        ("on a scale from -3 to 3: 2", 2.0),
        ("2 out of 3", 2.0),
        ("1.5/3.0", 1.5),
        ("<answer>0</answer>", 0.0),
        ("between 1 and 2", "ambiguous"),
        ("5", "out_of_vocabulary"),
        ("50 %", "out_of_vocabulary"),
        ("1 of 10", "out_of_vocabulary"),
        ("-3 to 3", "out_of_vocabulary"),
        ("v2", "out_of_vocabulary"),
        ("I cannot determine it", "refused"),
        ("", "empty"),
    ],
)
def test_numbers(response, expected):
    check("number_v2", SCALE, response, expected)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(C)", "C"),
        ("**B**", "B"),
        ("A", "A"),
        ("Answer: D", "D"),
        ("答案是C", "C"),
        ("Based on the video, C", "C"),
        ("The answer is not A; it is C", "C"),
        ("I think B.", "B"),
        ("very angry", "C"),
        ("He is angry", "B"),
        ("<think>B, surely</think>D", "D"),
        ("A or B", "ambiguous"),
        ("A man", "out_of_vocabulary"),
        ("E", "out_of_vocabulary"),
        ("I cannot determine that", "refused"),
        ("", "empty"),
    ],
)
def test_letters(response, expected):
    check("letter_v2", OPTIONS, response, expected)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("Yes", "correct"),
        ("No.", "incorrect"),
        ("not correct", "incorrect"),
        ("The statement is not wrong", "correct"),
        ("No, it is wrong", "incorrect"),
        ("no doubt it is true", "correct"),
        ("不正确", "incorrect"),
        ("是", "correct"),
        ("yes and no", "ambiguous"),
        ("maybe", "out_of_vocabulary"),
        ("I can't tell", "refused"),
        ("…", "empty"),
    ],
)
def test_judgments(response, expected):
    check("yes_no_v2", STATEMENT, response, expected)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("The first one", "a1"),
        ("A is better", "a1"),
        ("B", "a2"),
        ("not the first but the second", "a2"),
        ("equally good", "tie"),
        ("first or second", "ambiguous"),
        ("a description", "out_of_vocabulary"),
        ("", "empty"),
    ],
)
def test_preferences(response, expected):
    check("preference_v2", PAIR, response, expected)


def test_a_text_is_taken_whole_unless_it_declines():
    check("text_v2", Space(), "<think>hm</think> She smiles.", "She smiles.")
    check("text_v2", Space(), "I'm sorry, I can't see the video.", "refused")
    check("text_v2", Space(), "<think>She smiles", "empty")
