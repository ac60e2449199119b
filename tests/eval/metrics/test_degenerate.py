"""What every metric says where there is little to say: constants, and none, one or two samples."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, r2_score

from affect_mllm.eval.metrics.intervals import measure
from affect_mllm.eval.metrics.registry import METRICS
from tests.eval.reference import read_of, values

NONE = float("nan")
NUMBERS = {  # truth, answers: pearson, spearman, kendall_tau, ccc, r2, mae
    "constant truth, right": ([1, 1, 1], [1, 1, 1], (NONE, NONE, NONE, NONE, NONE, 0)),
    "constant truth, wrong": ([1, 1, 1], [2, 0, 2], (NONE, NONE, NONE, NONE, NONE, 1)),
    "constant truth near 0.1": ([0.1] * 7, [0.1, 0.2] * 3 + [0.4], (NONE,) * 5 + (0.6 / 7,)),
    "constant answers": ([0, 1, 2], [1, 1, 1], (0, 0, 0, 0, 0, 2 / 3)),
    "nothing read": ([0, 1, 2], [None] * 3, (0, 0, 0, 0, 0, 6)),
    "one answer read": ([0, 1, 2], [0, None, None], (0, 0, 0, 0, 0, 4)),
    "one sample": ([1], [1], (NONE, NONE, NONE, NONE, NONE, 0)),
    "two samples": ([0, 1], [0, 2], (1, 1, 1, 2 * 0.5 / (0.25 + 1 + 0.25), -1, 0.5)),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name):
    truth, answers, expected = NUMBERS[name]
    truth = [float(each) for each in truth]
    answers = [None if each is None else float(each) for each in answers]
    names = ("pearson", "spearman", "kendall_tau", "ccc", "r2", "mae")
    found = values(read_of(truth, answers, low=-3.0, high=3.0), **dict(zip(names, names)))  # noqa: B905
    assert [found[each] for each in names] == pytest.approx(list(expected), nan_ok=True)
    if not math.isnan(found["r2"]) and None not in answers:
        assert found["r2"] == pytest.approx(r2_score(truth, answers))


CLASSES = {  # truth, answers: accuracy, uar, macro_f1, kappa
    "one class, all right": ("aaa", "aaa", (1, 1, 1 / 2, NONE)),
    "one class, all wrong": ("aaa", "bbb", (0, 0, 0, 0)),
    "one class, some right": ("aaa", "aab", (2 / 3, 2 / 3, 0.4, 0)),
    "one answer for all": ("aab", "aaa", (2 / 3, 1 / 2, 0.4, 0)),
    "one sample": ("b", "b", (1, 1, 1 / 2, NONE)),
    "two samples": ("ab", "ba", (0, 0, 0, -1)),
}


@pytest.mark.parametrize("name", CLASSES)
def test_classes(name):
    truth, answers, expected = CLASSES[name]
    names = ("accuracy", "uar", "macro_f1", "kappa")
    found = values(read_of(truth, answers, ("a", "b")), **dict(zip(names, names)))  # noqa: B905
    assert [found[each] for each in names] == pytest.approx(list(expected), nan_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = cohen_kappa_score(list(truth), list(answers), labels=["a", "b"])
    assert found["kappa"] == pytest.approx(oracle, nan_ok=True)


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("kind", ["closed_label", "regression", "multi_label", "distribution"])
def test_few_samples_never_raise_and_invent_nothing(n, kind):
    shares = {"a": 0.75, "b": 0.25}
    one = {"closed_label": "a", "regression": 1.0, "multi_label": ("a",), "distribution": shares}
    labels = () if kind == "regression" else ("a", "b")
    read = read_of([one[kind]] * n, [one[kind]] * n, low=-3.0, high=3.0)
    read = read_of(read.truth, read.answers, low=-3.0, high=3.0) if not labels else _with(read)
    named = {name: metric for name, metric in METRICS.items() if kind in metric.kinds}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measure(read, named, [str(i) for i in range(n)])
    for name, each in found.items():
        if n < 2:
            assert math.isnan(each.ci_low), name
        assert not each.ci_low > each.value + 1e-12, name
        assert not each.ci_high < each.value - 1e-12, name


def test_where_no_sample_counts_there_is_no_value():
    read = read_of([0.0, 0.0], [1.0, 0.0], low=-3.0, high=3.0)
    assert math.isnan(values(read, found="acc2_non0")["found"])


def _with(read):
    from dataclasses import replace

    return replace(read, labels=("a", "b"))


def test_a_number_that_is_undefined_is_null_in_results():
    from affect_mllm.eval.score.breakdowns import score_read
    from tests.eval.runs import corpus, task

    rows = corpus(3)[:1]
    one = task(metrics=("accuracy", "kappa", "ece", "auroc"))
    read = read_of(["happy"], ["happy"], one.labels, samples=rows)
    found = score_read(one, read)["metrics"]
    assert (found["accuracy"]["value"], found["accuracy"]["ci_low"]) == (1.0, None)
    assert found["accuracy"]["interval"] == "none: one group"
    assert found["kappa"]["value"] is None
    assert (found["ece"]["value"], found["ece"]["coverage"]) == (None, 0.0)
    assert np.isfinite(found["accuracy"]["n"])
