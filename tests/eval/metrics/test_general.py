"""Metrics of general benchmarks: groups of questions, yes as the positive, short texts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.metrics.short import edits
from affect_mllm.eval.metrics.together import COGNITION, MME
from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.read.vqa_words import contractions, vqa_form
from affect_mllm.eval.score.scoring import score
from affect_mllm.eval.task import Task
from affect_mllm.types import ConfigError, DataError, Sample
from tests.eval.reference import read_of, values

YES = ("yes", "no")


def grouped(groups: str, right: str, **labels: list[str]):
    """Rows of groups a, b, …; `right` has 1 for a right answer. `labels` are columns."""
    samples = [
        Sample(str(i), Path(), group=group, labels={k: column[i] for k, column in labels.items()})
        for i, group in enumerate(groups)
    ]
    said = ["yes" if each == "1" else "no" for each in right]
    return read_of(["yes"] * len(groups), said, YES, samples=samples)


def test_a_group_is_right_if_each_of_its_answers_is_and_counts_once() -> None:
    read = grouped("aabbbc", "111011")
    assert METRICS["group_accuracy"].of(METRICS["group_accuracy"].statistic(read)) == 2 / 3
    rows = METRICS["group_accuracy"].statistic(read)
    assert rows[:, 0].tolist() == [1, 0, 1, 0, 0, 1]
    # Of a part that cuts a group, what is left of it decides.
    assert values(read.take([2, 4, 5]), all="group_accuracy")["all"] == 1.0


def test_a_group_that_was_half_read_would_be_right_only_with_both() -> None:
    task = Task("t", "1", "Is it a dog, yes or no?", YES, "statement_judgment", None,
                metrics=("group_accuracy", "accuracy"))  # fmt: skip
    rows = [Sample(f"r{i}", Path(), group="ab"[i // 2], labels={"is_correct": "yes"})
            for i in range(4)]  # fmt: skip
    said = [Prediction("r0", "yes"), Prediction("r1", "hm"), Prediction("r2", "no"),
            Prediction("r3", "hm")]  # fmt: skip
    found = score(task, rows, said)["metrics"]["group_accuracy"]
    assert (found["value"], found["if_unread_right"], found["n"]) == (0.0, 0.5, 2)


def test_groups_that_are_counted_whole_are_the_clusters_of_errors() -> None:
    with pytest.raises(ConfigError, match="clusters: id, with group_accuracy"):
        Task("t", "1", "Is it?", YES, "statement_judgment", metrics=("group_accuracy",),
             clusters="id")  # fmt: skip


def test_mmes_points_are_sums_over_the_sub_tasks_that_occur() -> None:
    groups, category = "aabbcc", ["existence"] * 4 + ["code_reasoning"] * 2
    read = grouped(groups, "111011", category=category)
    found = values(read, p="mme_perception", c="mme_cognition", s="mme_score")
    assert found == {"p": 75 + 50, "c": 200, "s": (125 + 200) / 400}
    alone = values(read.take([0, 1]), p="mme_perception", c="mme_cognition")
    assert alone["p"] == 200
    assert np.isnan(alone["c"])
    assert (len(MME), len(COGNITION)) == (14, 4)


def test_a_sub_task_that_mme_does_not_have_is_named() -> None:
    with pytest.raises(DataError, match="sports"):
        METRICS["mme_score"].statistic(grouped("a", "1", category=["sports"]))


def test_yes_as_the_positive_class_is_sklearns() -> None:
    rng = np.random.default_rng(0)
    truth, said = ([YES[i] for i in rng.integers(0, 2, 60)] for _ in range(2))
    found = values(read_of(truth, said, YES), p="yes_precision", r="yes_recall", f="yes_f1",
                   y="yes_ratio")  # fmt: skip
    expected = precision_recall_fscore_support(truth, said, pos_label="yes", average="binary")
    assert [found["p"], found["r"], found["f"]] == pytest.approx(list(expected[:3]))
    assert found["y"] == said.count("yes") / 60


def test_what_was_not_read_is_no_yes() -> None:
    read = read_of(["yes", "yes", "no"], ["yes", "hm", "hm"], YES)
    found = values(read, p="yes_precision", r="yes_recall", y="yes_ratio", l="lmms_yes_recall")
    assert found == {"p": 1.0, "r": 0.5, "y": pytest.approx(1 / 3), "l": 1.0}


def short(metric: str, answer: str | None, *truth: str, **labels: str) -> float:
    samples = [Sample("0", Path(), labels=labels)]
    return values(read_of([truth], [answer], samples=samples), all=metric)["all"]


@pytest.mark.parametrize(
    ("metric", "answer", "truth", "expected"),
    [
        ("vqa_accuracy", "Two dogs", ["2 dogs"] * 10, 1.0),
        ("vqa_accuracy", "puppy", ["dog"] * 8 + ["puppy"] * 2, (2 / 3 * 8 + 1 / 3 * 2) / 10),
        ("vqa_accuracy", "dog", ["dog"], 1.0),
        ("vqa_accuracy", "dog", ["dog", "cat", "dog"], (1 / 2 + 1 + 1 / 2) / 3),
        ("anls", "abxx", ["abcd"], 0.5),
        ("anls", "abxxx", ["abcde"], 0.0),
        ("anls", "", ["a"], 0.0),
        ("relaxed_accuracy", "$1,050", ["1000"], 1.0),
        ("relaxed_accuracy", "1051", ["1000"], 0.0),
        ("relaxed_accuracy", "5%", ["0.05"], 1.0),
        ("relaxed_accuracy", "0.0", ["0"], 0.0),
        ("relaxed_accuracy", "blue", ["Blue"], 1.0),
        ("exact_match", " Blue ", ["red", "blue"], 1.0),
        ("contains", "It reads ＡＢＣ.", ["abc"], 1.0),
        ("mmmu_accuracy", "so there are 12.0", ["12"], 1.0),
        ("mmmu_accuracy", "it is crimson", ["red", "crimson"], 1.0),
    ],
)
def test_a_short_answer(metric: str, answer: str, truth: list[str], expected: float) -> None:
    assert short(metric, answer, *truth) == pytest.approx(expected)


@pytest.mark.parametrize("metric", [n for n, m in METRICS.items() if m.kinds == ("short_answer",)])
def test_what_was_not_read_scores_nothing(metric: str) -> None:
    assert short(metric, None, "a") == 0.0


def test_formulas_are_compared_without_spaces_and_in_their_case() -> None:
    kind = "Handwritten Mathematical Expression Recognition"
    assert short("contains", r"\frac { A } {b}", r"\frac{A}{b}", question_type=kind) == 1.0
    assert short("contains", r"\frac{a}{b}", r"\frac{A}{b}", question_type=kind) == 0.0


def test_edits_are_levenshteins() -> None:
    assert [edits(*pair) for pair in (("kitten", "sitting"), ("", "ab"), ("ab", "ab"))] == [3, 2, 0]


def test_contractions_lack_one_apostrophe() -> None:
    assert contractions()["couldnt've"] == "couldn't've"
    assert contractions()["dont"] == "don't"
    assert vqa_form("The cat isnt there.") == "cat isn't there"


def test_right_is_a_score_of_a_half_for_texts() -> None:
    read = read_of([("hello",), ("hello",)], ["helo", "h"])
    assert replace(read, graded=METRICS["anls"].statistic).right.tolist() == [True, False]


def test_a_row_of_several_abilities_is_in_each_part() -> None:
    task = Task("t", "1", "Is it a dog, yes or no?", YES, "statement_judgment", None,
                metrics=("accuracy",), breakdowns=("parts",))  # fmt: skip
    rows = [Sample("a", Path(), labels={"is_correct": True, "parts": ["x", "y"]}),
            Sample("b", Path(), labels={"is_correct": True, "parts": ["y"]})]  # fmt: skip
    said = [Prediction("a", "yes"), Prediction("b", "no")]
    found = score(task, rows, said)["breakdowns"]["parts"].items()
    accuracies = {name: (part["n"], part["metrics"]["accuracy"]["value"]) for name, part in found}
    assert accuracies == {"x": (1, 1.0), "y": (2, 0.5)}


def test_a_label_that_a_row_may_lack_leaves_nothing_behind() -> None:
    task = Task("t", "1", "{hint?}{what}", YES, "statement_judgment", None, metrics=("accuracy",))
    assert (
        task.ask(Sample("a", Path(), labels={"what": "Is it?", "hint": "Look."})) == "Look.\nIs it?"
    )
    assert task.ask(Sample("a", Path(), labels={"what": "Is it?", "hint": ""})) == "Is it?"
    with pytest.raises(DataError, match=r"no labels\.what"):
        task.ask(Sample("a", Path()))
