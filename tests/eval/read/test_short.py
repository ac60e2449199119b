"""Short answers: what is taken off, what stays, and what is no answer."""

from __future__ import annotations

import pytest

from affect_mllm.eval.read.base import Space
from affect_mllm.eval.read.policies import extract

READ = {
    "a red bus": "a red bus",
    "The answer is **stop**.": "stop",
    'It says "CENTRE".': 'It says "CENTRE"',
    "<think>a cat? no</think>\ndog": "dog",
    "<answer>12.5</answer>": "12.5",
    r"So it is \boxed{42}.": "42",
    "Final answer: U.S.": "U.S.",
    "3.14.": "3.14",
    "Answer: 1,200. It is the sum of both.": "1,200",
    "unanswerable": "unanswerable",
    "不知道": "不知道",
    '{"answer": "blue"}': "blue",
}


@pytest.mark.parametrize("response", READ)
def test_what_an_answer_comes_to(response: str) -> None:
    found = extract(response, Space(), "short_answer_v1")
    assert (found.value, found.status) == (READ[response], "ok")


@pytest.mark.parametrize(
    ("response", "status"),
    [("", "empty"), (" .", "empty"), ("<think>it may be", "empty"),
     ("I'm sorry, I can't tell.", "refused")],
)  # fmt: skip
def test_what_is_no_answer(response: str, status: str) -> None:
    assert extract(response, Space(), "short_answer_v1").status == status


def test_a_row_with_options_is_answered_by_a_letter_and_one_without_by_a_text() -> None:
    options = {"A": "sad", "B": "calm"}
    asked = Space(options=options)
    assert extract("The answer is B.", asked, "choice_or_short_v1").value == "B"
    assert extract("A or B", asked, "choice_or_short_v1").status == "ambiguous"
    assert extract("The answer is B.", Space(), "choice_or_short_v1").value == "B"
    assert extract("about 12 apples", Space(), "choice_or_short_v1").value == "about 12 apples"
