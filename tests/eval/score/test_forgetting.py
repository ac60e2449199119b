"""What was won on emotion and lost on general ability: one row a run, better being positive."""

from __future__ import annotations

import pytest

from affect_mllm.eval.score.forgetting import against_untrained, balance

LATER = ("align", "emotion")


def entry(benchmark: str, *values: float, metric: str = "accuracy", p: float = 0.01):
    rows = [
        {"run": run, "value": value, "se": 0.03, "p": p, "p_holm": p}
        for run, value in zip(LATER, values, strict=False)
    ]
    return {"benchmark": benchmark, "metric": metric, "rows": rows}


def test_each_run_has_the_mean_of_both_sides_and_names_what_is_sure() -> None:
    found = balance(
        [
            entry("meld", 0.05, 0.20, metric="hit_rate"),
            entry("mme", -0.01, -0.10, metric="mme_score", p=0.2),
            entry("pope", 0.03, -0.20, metric="yes_f1"),
        ]
    )
    assert [row["run"] for row in found] == list(LATER)
    last = found[-1]
    assert last["emotion"]["value"] == pytest.approx(0.20)
    assert (last["emotion"]["won"], last["emotion"]["lost"]) == (["meld"], [])
    general = last["general"]
    assert general["value"] == pytest.approx(-0.15)
    assert (general["benchmarks"], general["won"], general["lost"]) == (2, [], ["pope"])
    # Two independent errors of 0.03 make a mean's of 0.03 / sqrt(2).
    assert general["ci_high"] - general["value"] == pytest.approx(1.959964 * 0.03 / 2**0.5)


def test_an_error_that_fell_is_won_and_one_in_a_scales_unit_is_named_apart() -> None:
    calibrated = entry("vecbench_fi2", -0.2, metric="ece")
    scale = entry("cmu_mosi_intensity", -0.5, metric="mae")
    (row,) = balance([calibrated, scale, entry("pope", 0.0)])
    assert row["emotion"]["value"] == pytest.approx(0.2)
    assert row["emotion"]["won"] == ["vecbench_fi2"]
    assert row["absent"] == ["cmu_mosi_intensity"]


def test_what_cannot_be_compared_is_named_and_one_side_alone_is_no_table() -> None:
    lost = {"benchmark": "mme", "metric": "mme_score", "rows": [{"run": "align", "absent": "gone"}]}
    assert balance([entry("meld", 0.1), lost]) == []
    (row,) = balance([entry("meld", 0.1), entry("pope", 0.1), lost])
    assert row["absent"] == ["mme"]


def test_without_errors_there_is_no_interval() -> None:
    bare = entry("pope", 0.1)
    bare["rows"][0]["se"] = None
    (row,) = balance([entry("meld", 0.1), bare])
    assert (row["general"]["value"], row["general"]["ci_low"]) == (pytest.approx(0.1), None)


def test_runs_that_asked_their_model_before_training_are_compared_with_it() -> None:
    def summary(value: float):
        metric = {"name": "accuracy", "value": value, "se": 0.01, "ci_low": None, "ci_high": None}
        other = {"other": "majority", "metric": metric | {"value": 9.0}, "p": 1.0, "p_holm": 1.0}
        mine = {"other": "untrained", "metric": metric, "p": 0.001, "p_holm": 0.002}
        return {"task": {"metrics": ["accuracy"]}, "comparisons": [other, mine]}

    runs = [(run, {"meld": summary(0.1 * at), "pope": summary(-0.1 * at)})
            for at, run in enumerate(LATER, start=1)]  # fmt: skip
    found = balance(against_untrained(runs))
    assert [row["emotion"]["value"] for row in found] == pytest.approx([0.1, 0.2])
    assert [row["general"]["lost"] for row in found] == [["pope"], ["pope"]]
    assert against_untrained([("x", {"meld": summary(0.1) | {"comparisons": []}})]) == []
