"""Two runs on the same samples: the difference, and a p that knows of groups."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from affect_mllm.eval.metrics import compare
from affect_mllm.eval.metrics.base import mean_of
from affect_mllm.eval.metrics.groups import Groups
from affect_mllm.eval.metrics.registry import METRICS
from tests.eval.metrics.test_intervals import alone, drawn
from tests.eval.reference import read_of

ACCURACY = METRICS["accuracy"]


def right(flags):
    return read_of(["a"] * len(flags), ["a" if flag else "b" for flag in flags], ("a", "b"))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60))
def test_of_single_samples_the_p_is_mcnemars_exact_one(pairs):
    first, second = np.array(pairs).T
    found = compare.difference(right(first), right(second), ACCURACY, alone(pairs))
    table = [[np.sum(first & second), np.sum(first & ~second)],
             [np.sum(~first & second), np.sum(~first & ~second)]]  # fmt: skip
    assert found.p == pytest.approx(float(mcnemar(table, exact=True).pvalue))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=10), st.randoms(use_true_random=False))
def test_of_groups_the_p_is_the_share_of_all_exchanges(sizes, random):
    signs = [size * random.choice((-1, 1)) for size in sizes]
    found = abs(sum(signs))
    ways = [abs(sum(s * g for s, g in zip(way, sizes, strict=True)))
            for way in product((-1, 1), repeat=len(sizes))]  # fmt: skip
    expected = sum(way >= found for way in ways) / len(ways)
    gaps = np.array([size for size in sizes if size], dtype=int)
    assert compare.exact_p(gaps, found) == pytest.approx(expected)


def test_drawn_exchanges_agree_with_all_of_them():
    """The same data once by the exact distribution, once drawn for a metric that has none."""
    generator = np.random.default_rng(2)
    groups = [str(i // 5) for i in range(200)]
    first, second = (right(generator.random(200) < p) for p in (0.75, 0.65))
    exact = compare.difference(first, second, ACCURACY, groups).p
    drawn_p = compare.difference(first, second, METRICS["uar"], groups).p  # one class: the same
    assert 0.01 < exact < 0.5
    assert drawn_p == pytest.approx(exact, abs=4 * math.sqrt(exact / 9999))


def test_clustered_samples_do_not_make_the_p_small():
    """All samples of a group say the same: 20 copies of 8 differing pairs, 7 to 1."""
    flags = np.repeat(np.array([True] * 7 + [False]), 20)
    groups = [str(i // 20) for i in range(160)]
    found = compare.difference(right(flags), right(~flags), ACCURACY, groups)
    assert found.p == pytest.approx(stats.binomtest(1, 8).pvalue)


def test_the_difference_of_a_run_and_itself_is_nothing_and_its_interval_is_not():
    found = compare.difference(drawn(), drawn(), METRICS["uar"], alone(drawn()))
    assert (found.value, found.p) == (0.0, 1.0)
    assert -0.02 < found.ci_low < 0 < found.ci_high < 0.02


def test_a_better_run_is_seen_and_turns_around():
    good, worse = drawn(0.9), drawn(0.8)
    found = compare.difference(good, worse, METRICS["uar"], alone(good))
    assert found.ci_low > 0
    assert found.p < 0.05
    back = compare.difference(worse, good, METRICS["uar"], alone(good))
    assert (back.value, back.p) == (-found.value, found.p)


def test_the_interval_of_a_difference_is_the_paired_ts_where_many_differ():
    first, second = drawn(0.7, n=2000), drawn(0.6, n=2000)
    found = compare.difference(first, second, ACCURACY, alone(first))
    gaps = first.right.astype(float) - second.right
    low, high = stats.t.interval(0.95, 1999, gaps.mean(), gaps.std(ddof=1) / math.sqrt(2000))
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high), abs=1e-4)


def test_one_group_has_no_interval_and_shows_nothing():
    found = compare.difference(drawn(0.9), drawn(0.2), ACCURACY, ["one"] * 300)
    assert found.value > 0
    assert (found.p, found.method) == (1.0, "none: one group")
    assert math.isnan(found.ci_low)


def test_rank_correlations_are_exchanged_by_their_rows():
    generator = np.random.default_rng(4)
    truth = generator.uniform(-3, 3, 60)
    close, far = (np.clip(truth + generator.normal(0, s, 60), -3, 3) for s in (0.3, 2.5))
    reads = [read_of(truth.tolist(), x.tolist(), low=-3.0, high=3.0) for x in (close, far)]
    found = compare.difference(*reads, METRICS["spearman"], [str(i // 3) for i in range(60)])
    assert found.p < 0.01
    assert found.ci_low > 0
    equal = compare.difference(reads[0], reads[0], METRICS["spearman"], alone(reads[0]))
    assert (equal.value, equal.p) == (0.0, 1.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_equals_statsmodels(p):
    assert compare.holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_holm_leaves_out_what_is_no_number():
    adjusted = compare.holm([0.01, math.nan, 0.04])
    assert (adjusted[0], adjusted[2]) == (0.02, 0.04)
    assert math.isnan(adjusted[1])


def test_many_groups_are_merged_and_still_tell_runs_apart():
    generator = np.random.default_rng(7)
    rows = [np.stack([np.ones(20000), generator.random(20000) < p], 1) for p in (0.62, 0.6)]
    groups = Groups(np.arange(20000) // 2)
    assert mean_of(rows[0].sum(0)) > mean_of(rows[1].sum(0))
    found = compare.difference_of(METRICS["set_jaccard"], *rows, groups, 1.0)
    gaps = groups.sums(rows[0][:, 1] - rows[1][:, 1])
    expected = stats.ttest_1samp(gaps, 0).pvalue  # pyright: ignore[reportAttributeAccessIssue]
    assert found.p == pytest.approx(expected, abs=0.01)


def test_a_publishers_rounding_does_not_make_the_p_smaller():
    """Rounded, the difference that was found could be larger than any that can be drawn."""
    generator = np.random.default_rng(4)
    coarse = replace(ACCURACY, digits=1)
    groups = [str(i // 4) for i in range(20)]
    for _ in range(10):
        first, second = (right(generator.random(20) < p) for p in (0.8, 0.5))
        exact, found = (
            compare.difference(first, second, each, groups) for each in (ACCURACY, coarse)
        )
        assert (found.value, found.p) == (exact.value, exact.p)
