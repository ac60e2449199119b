"""Intervals, paired comparison, and classification against scikit-learn and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, f1_score, precision_score, recall_score
from statsmodels.stats.contingency_tables import mcnemar as oracle_mcnemar
from statsmodels.stats.proportion import proportion_confint

from affect_mllm.eval.metrics import base, classes
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


def measured(read_answers, groups, *names):
    return base.measure(read_answers, {name: METRICS[name] for name in names}, groups)


def alone(read_answers):
    return [str(i) for i in range(len(read_answers))]


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


def drawn(right=0.7, n=300, seed=5):
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 3, n)
    return read(truth, np.where(generator.random(n) < right, truth, (truth + 1) % 3), tuple("abc"))


def test_independent_samples_get_wilsons_interval_for_accuracy_only():
    answers = drawn()
    found = measured(answers, alone(answers), "accuracy", "uar")
    expected = proportion_confint(int(answers.right.sum()), 300, method="wilson")
    assert (found["accuracy"].ci_low, found["accuracy"].ci_high) == pytest.approx(expected)
    assert (found["accuracy"].method, found["uar"].method) == ("wilson", "bootstrap")


def test_samples_that_repeat_each_other_widen_the_interval():
    n, copies = 60, 10
    generator = np.random.default_rng(1)
    right = np.repeat(generator.random(n) < 0.5, copies)
    groups = [f"g{i // copies}" for i in range(n * copies)]
    answers = read(np.zeros(n * copies, dtype=int), np.where(right, 0, 1), ("a", "b"))
    found = measured(answers, groups, "accuracy")["accuracy"]
    # Copies carry no information: the interval is that of 60 samples, not of 600.
    low, high = base.wilson(int(right.sum()) // copies, n)
    assert found.method == "clustered bootstrap"
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high), abs=0.02)


def test_the_bootstrap_has_the_width_of_the_normal_interval():
    answers = drawn(n=2000)
    found = measured(answers, [f"g{i}" for i in range(1000)] * 2, "accuracy")["accuracy"]
    p = float(answers.right.mean())
    assert found.ci_high - found.ci_low == pytest.approx(
        2 * 1.96 * (p * (1 - p) / 2000) ** 0.5, rel=0.1
    )


def test_intervals_are_seeded_and_hold_the_value():
    groups = [f"g{i % 40}" for i in range(300)]
    first, second = (measured(drawn(), groups, "accuracy", "uar") for _ in range(2))
    assert first == second
    assert all(m.ci_low < m.value < m.ci_high for m in first.values())


def test_the_difference_of_a_run_and_itself_is_nothing():
    found = base.difference(drawn(), drawn(), METRICS["uar"], alone(drawn()))
    assert (found.value, found.ci_low, found.ci_high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_a_better_run_is_seen_and_a_paired_comparison_is_narrower_than_two_intervals():
    good, worse = drawn(0.9), drawn(0.8)
    found = base.difference(good, worse, METRICS["accuracy"], alone(good))
    assert found.value == pytest.approx(float(good.right.mean() - worse.right.mean()))
    assert found.ci_low > 0
    assert found.p < 0.05
    back = base.difference(worse, good, METRICS["accuracy"], alone(good))
    assert (back.value, back.p) == (-found.value, found.p)


def test_wilson_of_nothing_is_everything():
    assert base.wilson(0, 0) == (0.0, 1.0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_equals_statsmodels(pairs):
    first, second = np.array(pairs).T
    paired = base.mcnemar(first, second)
    tables = [[np.sum(first & second), paired.n10], [paired.n01, np.sum(~first & ~second)]]
    assert paired.p == pytest.approx(float(oracle_mcnemar(tables, exact=True).pvalue))


def test_mcnemar_worked_by_hand():
    first, second = np.array([True] * 6), np.array([False] * 6)
    paired = base.mcnemar(first, second)
    assert (paired.n10, paired.n01, paired.p) == (6, 0, pytest.approx(2 / 64))
