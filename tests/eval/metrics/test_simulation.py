"""Intervals hold the true value, and equal runs are told apart, as often as they claim."""

from __future__ import annotations

import os

import pytest
from scipy.stats import binom

from tests.eval.metrics.simulation import ALIKE, CASES, GROUPS, coverage, told_apart

SOAK = bool(os.environ.get("AFFECT_SOAK"))
REPEATS = 2000 if SOAK else 100
SLOW = {"kendall_tau", "spearman"}  # computed anew without each group: soak alone
HERE = [case for case in CASES if SOAK or case.name not in SLOW]
PAIRS = [case for case in ALIKE if SOAK or case.name in {"accuracy", "macro_f1", "mae", "ccc"}]


def least(repeats):
    """A coverage that is no worse than 0.93 falls below this once in 1,000 times."""
    return binom.ppf(0.001, repeats, 0.93) / repeats


def most(repeats):
    """And a type I error that is no worse than 0.06 rises above this."""
    return binom.ppf(0.999, repeats, 0.06) / repeats


@pytest.mark.parametrize("case", HERE, ids=lambda case: case.name)
def test_an_interval_holds_the_true_value(case):
    found = {groups: coverage(case, groups, REPEATS) for groups in GROUPS}
    assert min(found.values()) >= least(REPEATS), found


@pytest.mark.parametrize("case", PAIRS, ids=lambda case: case.name)
def test_equal_runs_are_told_apart_no_more_often_than_chance_allows(case):
    repeats = REPEATS // 10 if case.name in SLOW else REPEATS
    found = {groups: told_apart(case, groups, repeats) for groups in GROUPS}
    assert max(apart for apart, _ in found.values()) <= most(repeats), found
    assert min(held for _, held in found.values()) >= least(repeats), found


def test_the_simulation_sees_an_interval_that_is_too_narrow(monkeypatch):
    """With the normal quantile in place of Student's, five groups are covered too rarely."""
    from affect_mllm.eval.metrics import intervals

    monkeypatch.setattr(intervals, "quantile", lambda df: 1.959964)
    case = next(case for case in CASES if case.name == "set_micro_f1")
    assert coverage(case, 5, 400) < least(400)
