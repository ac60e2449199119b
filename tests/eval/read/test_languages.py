"""Answers in the language of a row, read as the task's labels; as a person reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from affect_mllm.eval.read.policies import extract
from affect_mllm.eval.task import Task
from affect_mllm.types import Sample

SEVEN = ("anger", "boredom", "disgust", "fear", "happy", "sad", "neutral")
QUESTION = "Which emotion does the person express? Answer with one of: " + ", ".join(SEVEN) + "."
TASK = Task("t", "1", QUESTION, SEVEN, language="row")
OPEN = Task("o", "1", "List the emotional states of the person.", kind="open_vocabulary",
            metrics=("hit_rate",), language="row")  # fmt: skip
GERMAN, CHINESE, ENGLISH = (
    Sample(code, Path(), subtitle="x", language=code) for code in ("de", "zh", "en")
)


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("Wut", "anger"),
        ("Die Person ist wütend.", "anger"),
        ("Die wütende Stimme", "anger"),
        ("Die Person wirkt nicht wütend, sondern traurig.", "sad"),
        ("Weder Wut noch Angst, eher Ekel.", "disgust"),
        ("Wut ist nicht zu hören, Angst schon", "fear"),
        ("Die Person fühlt Ekel, keine Angst", "disgust"),
        ("ohne Angst und Wut, fröhlich", "happy"),
        ("Trauer, weil sie ihre Wut unterdrückt", "sad"),
        ("Keine Emotion", "neutral"),
        ("anger", "anger"),
    ],
)
def test_german(said: str, label: str) -> None:
    assert extract(said, TASK.space(GERMAN), TASK.policy).value == label


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("nicht wütend", "out_of_vocabulary"),
        ("keine Wut", "out_of_vocabulary"),
        ("Wütend ist sie nicht.", "out_of_vocabulary"),
        ("Wut: nein", "out_of_vocabulary"),
        ("nicht nur traurig, auch wütend", "ambiguous"),
        ("Angst und Wut", "ambiguous"),
        ("Ich kann das nicht erkennen.", "refused"),
    ],
)
def test_german_that_is_no_label(said: str, status: str) -> None:
    assert extract(said, TASK.space(GERMAN), TASK.policy).status == status


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("愤怒", "anger"),
        ("他不是生气，而是难过", "sad"),
        ("并不害怕，只是无聊", "boredom"),
        ("平淡", "neutral"),
        ("不生气", None),
        ("没有愤怒", None),
        ("既不愤怒也不悲伤", None),
    ],
)
def test_chinese(said: str, label: str | None) -> None:
    assert extract(said, TASK.space(CHINESE), TASK.policy).value == label


def test_only_rows_of_the_language_are_read_so_and_only_with_the_option() -> None:
    assert extract("Wut", TASK.space(ENGLISH), TASK.policy).value is None
    plain = Task("t", "1", QUESTION, SEVEN)
    assert extract("Wut", plain.space(GERMAN), plain.policy).value is None
    assert plain.wording == QUESTION, "whose hash stays what it was"
    assert TASK.wording != Task("t", "1", QUESTION, SEVEN, language="de").wording != QUESTION


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ('She says "ich weiß nicht" with anger in her voice.', "anger"),
        ('The subtitle "Das ist nicht gut" shows anger.', "anger"),
        ('The song "Ohne Dich" conveys sadness.', "sad"),
        ("The actor Statt looks happy", "happy"),
        ("The line: nein. It expresses fear", "fear"),
    ],
)
def test_an_answer_about_a_row_in_english_may_quote_german(said: str, label: str) -> None:
    for task, row in ((TASK, ENGLISH), (Task("t", "1", QUESTION, SEVEN), GERMAN)):
        assert extract(said, task.space(row), task.policy).value == label
    space = Task("o", "1", "Which?", kind="open_vocabulary", metrics=("hit_rate",)).space(ENGLISH)
    assert extract("joy, nicht anger", space, "label_list_v3").value == ("joy", "nicht anger")


def test_free_words_are_read_as_the_english_ones() -> None:
    for said in ("Wut, Trauer", "Wut und Trauer", "Die Person ist wütend und traurig."):
        assert extract(said, OPEN.space(GERMAN), OPEN.policy).value == ("anger", "sad"), said
    assert extract("nicht wütend, aber froh", OPEN.space(GERMAN), OPEN.policy).value == ("happy",)
    assert extract("恼怒，担忧", OPEN.space(CHINESE), OPEN.policy).value == ("anger", "worry")


def test_the_words_that_are_compared_are_those_of_the_question() -> None:
    assert TASK.words(GERMAN)[:2] == ("Wut", "Langeweile")
    assert TASK.words(ENGLISH) == SEVEN
    other = Task("t", "1", "How is she?", SEVEN, language="row")
    assert other.ask(GERMAN) == "How is she?"
    assert other.words(GERMAN) == SEVEN, "of a question in English"
