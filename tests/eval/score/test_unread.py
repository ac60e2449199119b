"""How far a number could move with the answers that were not read."""

from __future__ import annotations

from pathlib import Path

import pytest

from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.score.scoring import score
from affect_mllm.eval.task import Task
from affect_mllm.types import Sample

ANSWERS = ["happy", "sad", "I can't tell", "…", "happy or sad", None]
TRUTH = ["happy", "happy", "sad", "sad", "happy", "sad"]


def scored(task, truth, answers, key="emotion"):
    samples = [Sample(f"s{i}", Path(), labels={key: t}) for i, t in enumerate(truth)]
    said = [Prediction(s.id, a) for s, a in zip(samples, answers, strict=True) if a is not None]
    return score(task, samples, said)["metrics"]


def test_accuracy_lies_between_what_is_right_now_and_all_that_was_not_read():
    task = Task(
        "toy", "1", "?", ("happy", "sad"), split=None, metrics=("accuracy", "top3_accuracy")
    )
    found = scored(task, TRUTH, ANSWERS)
    for name in ("accuracy", "top3_accuracy"):
        assert (
            found[name]["value"] == found[name]["if_unread_wrong"] == pytest.approx(1 / 6, abs=1e-5)
        )
        assert found[name]["if_unread_right"] == pytest.approx(5 / 6, abs=1e-5)
        assert found[name]["n_unparsed"] == 4


def test_an_error_shrinks_if_what_was_not_read_is_right():
    task = Task("toy", "1", "?", kind="regression", low=-1.0, high=1.0, split=None,
                truth="valence", metrics=("mae", "spearman"))  # fmt: skip
    found = scored(task, [0.5, -0.5, 0.0], ["0.5", "0.5", "no idea"], "valence")
    assert found["mae"]["if_unread_wrong"] == pytest.approx((0 + 1 + 2) / 3, abs=1e-5)
    assert found["mae"]["if_unread_right"] == pytest.approx((0 + 1 + 0) / 3, abs=1e-5)
    assert found["spearman"]["if_unread_wrong"] == found["spearman"]["value"]


def test_where_all_was_read_both_bounds_are_the_value():
    task = Task("toy", "1", "?", ("happy", "sad"), split=None, metrics=("uar", "weighted_f1"))
    for each in scored(task, TRUTH, TRUTH).values():
        assert each["if_unread_wrong"] == each["if_unread_right"] == each["value"] == 1.0
