"""Numbers on a scale: against scipy and numpy, and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.eval.reference import read_of, values

PAIRS = st.lists(
    st.tuples(st.floats(-3, 3, width=16), st.floats(-3, 3, width=16)), min_size=3, max_size=40
)
NAMES = ("mae", "rmse", "pearson", "spearman", "ccc", "acc7", "acc2_has0", "acc2_non0")


def found(truth, answers, *names):
    return values(read_of(truth, answers, low=-3.0, high=3.0), **{name: name for name in names})


@given(PAIRS)
def test_numbers_equal_scipy_where_it_defines_them(pairs):
    x, y = np.array(pairs).T
    got = found(x.tolist(), y.tolist(), *NAMES)
    assert got["mae"] == pytest.approx(np.abs(x - y).mean())
    assert got["rmse"] == pytest.approx(np.sqrt(((x - y) ** 2).mean()))
    if x.std() > 1e-2 and y.std() > 1e-2:
        assert got["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-6)
        assert got["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-6)
        shift = (x.mean() - y.mean()) ** 2
        ccc = 2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + shift)
        assert got["ccc"] == pytest.approx(ccc, abs=1e-6)


def test_the_two_conventions_of_polarity_differ_at_zero():
    truth, answers = [-1.0, 0.0, 0.0, 2.0], [-2.0, 0.5, -0.5, 0.0]
    got = found(truth, answers, "acc2_has0", "acc2_non0")
    assert got["acc2_has0"] == 3 / 4  # only the third is on the wrong side
    assert got["acc2_non0"] == 1 / 2  # two count, and an answer of zero is not positive


def test_seven_classes_clip_and_round_half_to_even():
    assert found([2.5, 3.0, -0.5, 1.0], [2.0, 9.0, 0.4, 1.6], "acc7")["acc7"] == 3 / 4


def test_ch_sims_has_its_own_bins():
    read = read_of([0.0, 0.1, -0.1, 0.7], [0.05, 0.11, -0.1, 0.5], low=-1.0, high=1.0)
    got = values(read, acc2="sims_acc2", acc3="sims_acc3", acc5="sims_acc5")
    assert got == {"acc2": 3 / 4, "acc3": 3 / 4, "acc5": 3 / 4}


def test_silence_costs_the_whole_scale_and_cannot_raise_a_correlation():
    truth = [-3.0, -1.0, 1.0, 3.0]
    half = found(truth, [-3.0, None, None, 3.0], *NAMES)
    assert half["mae"] == (6 + 6) / 4
    assert half["pearson"] == pytest.approx(1 / 2)
    assert half["acc7"] == half["acc2_has0"] == half["acc2_non0"] == 1 / 2
    none = found(truth, [None] * 4, *NAMES)
    assert none == {"mae": 6.0, "rmse": 6.0} | dict.fromkeys(NAMES[2:], 0.0)


def test_the_publisher_has_no_correlation_of_a_constant():
    read = read_of([0.5, 1.0, 2.0], [1.0, 1.0, 1.0], low=-3.0, high=3.0)
    got = values(read, ours="pearson", official="mmsa_pearson")
    assert got["ours"] == 0.0
    assert np.isnan(got["official"])


def test_silence_raises_no_value_below_zero():
    truth = [-2.0, -1.0, 0.0, 1.0, 2.0, 0.0]
    against = [2.0, 1.5, 0.0, -1.0, -2.0, 0.0]
    names = ("pearson", "spearman", "ccc", "r2")
    spoken = found(truth[:5], against[:5], *names)
    silent = found(truth, [*against[:5], None], *names)
    assert all(value < 0 for value in spoken.values())
    assert silent == pytest.approx(spoken), "the sixth answer is silent"
    assert set(found(truth, [None] * 6, *names).values()) == {0.0}
    right = found(truth, [*truth[:5], None], *names)
    assert right == pytest.approx(dict.fromkeys(names, 5 / 6))
