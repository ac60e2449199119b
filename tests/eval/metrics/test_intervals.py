"""Intervals: against statsmodels and scipy, and where nothing varies or there is one group."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from affect_mllm.eval.metrics import intervals
from affect_mllm.eval.metrics.registry import METRICS
from tests.eval.reference import read_of

LABELS = ("a", "b", "c")


def drawn(right=0.7, n=300, seed=5):
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 3, n)
    said = np.where(generator.random(n) < right, truth, (truth + 1) % 3)
    return read_of([LABELS[i] for i in truth], [LABELS[i] for i in said], LABELS)


def measured(read, groups, *names):
    return intervals.measure(read, {name: METRICS[name] for name in names}, groups)


def alone(read):
    return [str(i) for i in range(len(read))]


def test_independent_samples_get_wilsons_interval_for_accuracy_only():
    read = drawn()
    found = measured(read, alone(read), "accuracy", "uar")
    expected = proportion_confint(int(read.right.sum()), 300, method="wilson")
    assert (found["accuracy"].ci_low, found["accuracy"].ci_high) == pytest.approx(expected)
    assert (found["accuracy"].method, found["uar"].method) == ("wilson", "wilson, effective n")


def test_samples_that_repeat_each_other_widen_the_interval():
    n, copies = 60, 10
    right = np.repeat(np.random.default_rng(1).random(n) < 0.5, copies)
    groups = [f"g{i // copies}" for i in range(n * copies)]
    read = read_of(["a"] * n * copies, np.where(right, "a", "b"), ("a", "b"))
    found = measured(read, groups, "accuracy")["accuracy"]
    # Copies carry no information: the interval is that of 60 samples, not of 600.
    low, high = intervals.wilson(right.sum() / copies / n, n - 1, stats.t.ppf(0.975, n - 1))
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high))


def test_the_interval_of_an_error_is_students_where_groups_are_many():
    generator = np.random.default_rng(3)
    truth, off = generator.uniform(-1, 1, 4000), generator.gamma(4, 0.05, 4000)
    read = read_of(truth.tolist(), (truth + off).tolist(), low=-3.0, high=3.0)
    found = measured(read, alone(read), "mae")["mae"]
    low, high = stats.t.interval(0.95, 3999, off.mean(), off.std(ddof=1) / math.sqrt(4000))
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high), abs=1e-4)


def test_the_interval_of_a_correlation_is_fishers():
    generator = np.random.default_rng(3)
    x = generator.normal(0, 0.5, 3000)
    y = 0.6 * x + generator.normal(0, 0.4, 3000)
    read = read_of(x.tolist(), y.tolist(), low=-3.0, high=3.0)
    found = measured(read, alone(read), "pearson")["pearson"]
    oracle = stats.pearsonr(x, y).confidence_interval(0.95)
    assert (found.ci_low, found.ci_high) == pytest.approx((oracle.low, oracle.high), abs=4e-3)


@pytest.mark.parametrize("name", ["accuracy", "uar", "weighted_f1", "kappa"])
def test_right_answers_alone_leave_room_for_wrong_ones(name):
    read = drawn(right=1.0, n=42)
    found = measured(read, alone(read), name)[name]
    assert (found.value, found.ci_high) == (1.0, 1.0)
    assert found.ci_low == pytest.approx(proportion_confint(42, 42, method="wilson")[0])


def test_groups_in_which_nothing_varies_count_as_one_sample_each():
    read = drawn(right=1.0, n=40)
    found = measured(read, [str(i // 4) for i in range(40)], "accuracy")["accuracy"]
    assert found.ci_low == pytest.approx(proportion_confint(10, 10, method="wilson")[0])


@pytest.mark.parametrize("names", [("accuracy", "uar", "macro_f1"), ("mae", "pearson", "r2")])
def test_no_interval_has_no_width(names):
    if "mae" in names:
        read = read_of([0.0, 1.0, 2.0], [1.0, 2.0, 3.0], low=-3.0, high=3.0)  # each 1 off
    else:
        read = read_of(["a", "a", "b", "b"], ["a", "b", "b", "a"], ("a", "b"))
    for groups in (alone(read), ["g", *"h" * (len(read) - 1)]):
        for found in measured(read, groups, *names).values():
            assert found.ci_low < found.ci_high, found
            assert found.ci_low <= found.value <= found.ci_high


@pytest.mark.parametrize("n", [1, 30])
def test_one_group_has_a_value_and_no_interval(n):
    found = measured(drawn(n=n), ["one"] * n, "accuracy", "uar", "macro_f1", "weighted_f1")
    for each in found.values():
        assert not math.isnan(each.value)
        assert math.isnan(each.ci_low)
        assert each.method == "none: one group"


def test_groups_of_other_sizes_count_as_fewer():
    read = drawn(n=120)
    even, one = ([str(i // 12) for i in range(120)], [str(max(i, 110)) for i in range(120)])
    assert measured(read, even, "accuracy")["accuracy"].df == pytest.approx(9)
    assert measured(read, one, "accuracy")["accuracy"].df == 1.0  # 111 of 120 are in one group


def test_the_order_of_groups_names_makes_no_difference_beyond_rounding():
    read, groups = drawn(), [f"g{i % 40}" for i in range(300)]
    first, second = (measured(read, groups, "accuracy", "uar", "ece") for _ in range(2))
    assert first == second
    assert all(m.ci_low < m.value < m.ci_high for m in first.values() if not math.isnan(m.value))
