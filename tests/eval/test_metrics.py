"""Metrics against scikit-learn, statsmodels and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, recall_score
from statsmodels.stats.contingency_tables import mcnemar as oracle_mcnemar
from statsmodels.stats.proportion import proportion_confint

from affect_mllm.eval import metrics

CLASSES = 4
ROWS = st.lists(
    st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES)), min_size=1, max_size=40
)


def split(rows):
    pairs = np.array(rows, dtype=np.int64)
    return pairs[:, 0], pairs[:, 1]


@given(ROWS)
def test_metrics_equal_scikit_learn_with_unparsed_as_a_class_outside_the_list(rows):
    truth, predicted = split(rows)
    counts = metrics.confusion(truth, predicted, CLASSES)
    every, present = list(range(CLASSES)), sorted(set(truth.tolist()))
    expected = {
        "accuracy": np.mean(truth == predicted),
        "war": np.mean(truth == predicted),
        "uar": recall_score(truth, predicted, labels=present, average="macro", zero_division=0),
        "weighted_f1": f1_score(
            truth, predicted, labels=every, average="weighted", zero_division=0
        ),
        "macro_f1": f1_score(truth, predicted, labels=every, average="macro", zero_division=0),
    }
    found = {name: float(function(counts)) for name, function in metrics.METRICS.items()}
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_case_worked_by_hand():
    # Class 0: 2 of 3 right, the third unparsed. Class 1: its only sample taken for class 0.
    truth, predicted = np.array([0, 0, 0, 1]), np.array([0, 0, 2, 0])
    counts = metrics.confusion(truth, predicted, 2)
    assert counts.tolist() == [[2, 0, 1], [1, 0, 0]]
    assert float(metrics.accuracy(counts)) == 0.5
    assert float(metrics.uar(counts)) == pytest.approx((2 / 3 + 0) / 2)
    assert float(metrics.weighted_f1(counts)) == pytest.approx(0.75 * (4 / 6))


def test_a_class_without_samples_has_no_recall_and_does_not_lower_uar():
    counts = metrics.confusion(np.array([0, 1]), np.array([0, 1]), 3)
    assert np.isnan(metrics.recalls(counts)[2])
    assert float(metrics.uar(counts)) == 1.0


def measured(groups, *, names=("accuracy", "uar"), right=0.7, n=300):
    generator = np.random.default_rng(5)
    truth = generator.integers(0, 3, n)
    predicted = np.where(generator.random(n) < right, truth, (truth + 1) % 3)
    return metrics.measure(truth, predicted, groups, classes=3, names=names), truth, predicted


def test_independent_samples_get_wilsons_interval_for_accuracy_only():
    found, truth, predicted = measured([f"g{i}" for i in range(300)])
    expected = proportion_confint(int((truth == predicted).sum()), 300, method="wilson")
    assert (found["accuracy"].ci_low, found["accuracy"].ci_high) == pytest.approx(expected)
    assert (found["accuracy"].method, found["uar"].method) == ("wilson", "bootstrap")


def test_samples_that_repeat_each_other_widen_the_interval():
    n, copies = 60, 10
    generator = np.random.default_rng(1)
    right = np.repeat(generator.random(n) < 0.5, copies)
    truth = np.zeros(n * copies, dtype=np.int64)
    groups = [f"g{i // copies}" for i in range(n * copies)]
    found = metrics.measure(truth, np.where(right, 0, 1), groups, classes=2, names=("accuracy",))[
        "accuracy"
    ]
    # Copies carry no information: the interval is that of 60 samples, not of 600.
    low, high = metrics.wilson(int(right.sum()) // copies, n)
    assert found.method == "clustered bootstrap"
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high), abs=0.02)


def test_intervals_are_seeded_and_hold_the_value():
    groups = [f"g{i % 40}" for i in range(300)]
    first, second = measured(groups)[0], measured(groups)[0]
    assert first == second
    assert all(m.ci_low < m.value < m.ci_high for m in first.values())


def test_wilson_of_nothing_is_everything():
    assert metrics.wilson(0, 0) == (0.0, 1.0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_equals_statsmodels(pairs):
    first, second = np.array(pairs).T
    paired = metrics.mcnemar(first, second)
    tables = [[np.sum(first & second), paired.n10], [paired.n01, np.sum(~first & ~second)]]
    assert paired.p == pytest.approx(float(oracle_mcnemar(tables, exact=True).pvalue))


def test_mcnemar_worked_by_hand():
    first, second = np.array([True] * 6), np.array([False] * 6)
    paired = metrics.mcnemar(first, second)
    assert (paired.n10, paired.n01, paired.p) == (6, 0, pytest.approx(2 / 64))
