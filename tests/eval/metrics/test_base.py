"""Classification against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, f1_score, precision_score, recall_score

from affect_mllm.eval.metrics import classes
from affect_mllm.eval.metrics.registry import METRICS
from tests.eval.reference import read_of

CLASSES = 4
LABELS = tuple("abcd")
ROWS = st.lists(
    st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES)), min_size=1, max_size=40
)


def read(truth, answers, labels=LABELS):
    names = [*labels, "nothing"]
    return read_of([labels[i] for i in truth], [names[i] for i in answers], labels)


@given(ROWS)
def test_metrics_equal_scikit_learn_with_unparsed_as_a_class_outside_the_list(rows):
    truth, predicted = np.array(rows, dtype=np.int64).T
    every, present = list(range(CLASSES)), sorted(set(truth.tolist()))
    options = {"labels": every, "zero_division": 0}
    expected = {
        "accuracy": np.mean(truth == predicted),
        "war": np.mean(truth == predicted),
        "uar": recall_score(truth, predicted, labels=present, average="macro", zero_division=0),
        "macro_recall": recall_score(truth, predicted, average="macro", **options),
        "weighted_f1": f1_score(truth, predicted, average="weighted", **options),
        "weighted_precision": precision_score(truth, predicted, average="weighted", **options),
        "macro_f1": f1_score(truth, predicted, average="macro", **options),
        "present_macro_f1": f1_score(
            truth, predicted, labels=present, average="macro", zero_division=0
        ),
        "micro_f1": f1_score(truth, predicted, average="micro", **options),
    }
    counts = classes.confusion(read(truth, predicted))
    found = {
        name: float(classes.accuracy(counts) if METRICS[name].proportion
                    else METRICS[name].value(counts))
        for name in expected
    }  # fmt: skip
    assert found == pytest.approx(expected, abs=1e-12)
    if len({*truth, *predicted}) > 1:
        assert float(classes.kappa(counts)) == pytest.approx(cohen_kappa_score(truth, predicted))


def test_a_case_worked_by_hand():
    # Class 0: 2 of 3 right, the third unparsed. Class 1: its only sample taken for class 0.
    counts = classes.confusion(read([0, 0, 0, 1], [0, 0, 2, 0], ("a", "b")))
    assert counts.tolist() == [[2, 0, 1], [1, 0, 0]]
    assert float(classes.accuracy(counts)) == 0.5
    assert float(classes.uar(counts)) == pytest.approx((2 / 3 + 0) / 2)
    assert float(classes.weighted_f1(counts)) == pytest.approx(0.75 * (4 / 6))


def test_a_class_without_samples_has_no_recall_and_does_not_lower_uar():
    counts = classes.confusion(read([0, 1], [0, 1], ("a", "b", "c")))
    assert np.isnan(classes.recalls(counts)[2])
    assert float(classes.uar(counts)) == 1.0
