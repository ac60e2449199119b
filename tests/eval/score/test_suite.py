"""The mean of a suite."""

from __future__ import annotations

import json

import pytest

from affect_mllm.eval.benchmarks import Suite
from affect_mllm.eval.score.suite import suite_mean, suite_means
from affect_mllm.eval.score.summary import summarise, write_results
from affect_mllm.types import ConfigError
from tests.eval.runs import answers, corpus, task

SUITE = Suite("pair", "1", ("one", "two"))


def summary(value: float, half: float, checkpoint: str = "c", metric: str = "accuracy"):
    scores = {"value": value, "ci_low": value - half, "ci_high": value + half, "n": 10,
              "n_unparsed": 1, "se": half / 1.959964, "df": 1e9}  # fmt: skip
    variant = {"checkpoint": checkpoint, "metrics": {metric: scores, "other": {"value": 9}}}
    return {"task": {"metrics": [metric, "other"]}, "reference": "all",
            "variants": {"all": variant, "face": {}}}  # fmt: skip


def test_primaries_count_alike_and_their_errors_add_up_as_independent_ones():
    found = suite_mean(SUITE, [summary(0.6, 0.06), summary(0.8, 0.08, metric="hit_rate")])
    assert found["value"] == pytest.approx(0.7)
    assert found["ci_high"] - found["value"] == pytest.approx(0.1 / 2)  # 6, 8, 10
    assert (found["n"], found["n_unparsed"]) == (20, 2)
    # Weighted by size: here 10 and 10; the pooled variance is the mean of both, over 20 samples.
    assert found["by_samples"]["value"] == pytest.approx(0.7)
    errors = [2 * width / (2 * 1.959964) for width in (0.06, 0.08)]
    pooled = sum(10 * error**2 for error in errors) / 2 / 20
    assert found["by_samples"]["se"] == pytest.approx(pooled**0.5)
    assert found["primary"] == {
        "one": {"metric": "accuracy", "value": 0.6}, "two": {"metric": "hit_rate", "value": 0.8}
    }  # fmt: skip


def test_few_groups_and_no_groups_make_no_narrow_mean():
    one, other = summary(0.6, 0.06), summary(0.8, 0.08)
    wide = suite_mean(SUITE, [one, other])["ci_high"]
    for each in (one, other):
        each["variants"]["all"]["metrics"]["accuracy"]["df"] = 4
    assert suite_mean(SUITE, [one, other])["ci_high"] > wide
    other["variants"]["all"]["metrics"]["accuracy"]["se"] = None  # one group
    found = suite_mean(SUITE, [one, other])
    assert (found["value"], found["ci_low"]) == (pytest.approx(0.7), None)
    assert found["by_samples"]["se"] is None


def test_several_checkpoints_make_no_mean():
    with pytest.raises(ConfigError, match=r"pair: checkpoints \['a', 'b'\]"):
        suite_mean(SUITE, [summary(0.6, 0.1, "a"), summary(0.8, 0.1, "b")])


def test_results_have_the_mean_of_a_suite_once_it_is_complete(tmp_path):
    assert suite_means({"meld": summary(0.5, 0.1)}) == {}
    rows = corpus(12)
    one = summarise(task(), rows, {"face+audio+text": answers(rows)})
    names = ["mer2023", "mer2024", "meld", "iemocap4", "cmu_mosi", "cmu_mosei", "ch_sims"]
    path = write_results(tmp_path, dict.fromkeys([*names, "ch_sims_v2", "ov_merd_plus"], one))
    found = json.loads(path.read_text())["suites"]
    assert found["mer_unibench"]["value"] == 1.0
    assert len(found["mer_unibench"]["primary"]) == 9
