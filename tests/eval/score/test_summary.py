"""Variants side by side: ceilings, baselines, paired tests, and the results file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy import stats

from affect_mllm.eval.score.summary import majority_predictions, read_runs, summarise, write_results
from affect_mllm.types import ConfigError, DataError
from tests.eval.runs import answers, corpus, task


def summary(**changes):
    rows = corpus(12)
    runs = {
        "face+audio+text": answers(rows),
        "face": answers(rows, {s.id: "?" for s in rows[:6]}),
        "untrained": answers(rows, {s.id: "" for s in rows}),
    }
    values = {"ceilings": {"face": 0.6, "untrained": 0.0, "face+audio+text": 0.98}}
    return summarise(task(), rows, runs, **(values | changes))


def test_every_variant_and_the_majority_class_stand_in_the_table():
    found = summary()["variants"]
    accuracy = {name: v["metrics"]["accuracy"]["value"] for name, v in found.items()}
    assert accuracy == {
        "face+audio+text": 1.0, "face": 0.5, "untrained": 0.0, "majority": 0.333333
    }  # fmt: skip
    assert found["majority"]["metrics"]["accuracy"]["n_unparsed"] == 0


def test_the_majority_class_is_the_most_frequent_one_the_first_of_a_tie():
    rows = corpus(5)  # happy sad angry happy sad
    assert {p.labels for p in majority_predictions(task(), rows[::-1])} == {("happy",)}
    assert {p.labels for p in majority_predictions(task(), rows[1:])} == {("sad",)}


def test_values_are_held_against_their_ceilings():
    found = summary()["variants"]
    face, everything = found["face"], found["face+audio+text"]
    assert (face["at_or_under_ceiling"], face["above_ceiling"]) == (True, False)
    # 12 of 12 is above 0.98, yet its interval reaches below it.
    assert (everything["at_or_under_ceiling"], everything["above_ceiling"]) == (False, False)
    assert found["untrained"]["at_or_under_ceiling"]
    assert (found["majority"]["ceiling"], found["majority"]["above_ceiling"]) == (None, None)
    assert summary(ceilings={"face": 0.1})["variants"]["face"]["above_ceiling"]


def test_the_reference_is_compared_with_each_other_variant():
    found = {c["other"]: c for c in summary()["comparisons"]}
    assert set(found) == {"face", "untrained", "majority"}
    metric = found["face"].pop("metric")
    assert (metric["name"], metric["value"]) == ("accuracy", 0.5)
    assert 0 < metric["ci_low"] < 0.5 < metric["ci_high"]
    # 6 of 12 gaps are 1: standard error 0.522 / √12, and 1.96 + 0.842 of them can be detected.
    assert found["face"].pop("se") == pytest.approx(0.150756, abs=1e-5)
    few = stats.t.ppf(0.975, 11) / stats.norm.ppf(0.975)  # twelve samples are few
    assert found["face"].pop("detectable") == pytest.approx(0.422354 * few, abs=1e-5)
    assert found["face"].pop("needed") == 9  # 0.2727 · (2.802 / 0.5)²
    assert found["face"].pop("t_test")["t_stat"] == pytest.approx(3.316625, abs=1e-5)
    assert found["face"] == {
        "reference": "face+audio+text", "other": "face", "n": 12, "n10": 6, "n01": 0,
        "difference": 0.5, "p": 2 / 2**6, "p_holm": 2 / 2**6,
    }  # fmt: skip
    # Holm: 12 and 8 samples differ in the other two, whose p are smaller.
    assert found["untrained"]["p"] == pytest.approx(2 / 2**12, rel=1e-5)
    assert found["untrained"]["p_holm"] == pytest.approx(3 * 2 / 2**12, rel=1e-5)
    assert found["majority"]["p_holm"] == pytest.approx(2 * 2 / 2**8)


def test_an_absent_reference_and_a_faulty_variant_are_named():
    with pytest.raises(ConfigError, match="untrained"):
        summary(reference="face+audio")
    rows = corpus(3)
    runs = {"face": answers(rows) + answers(rows[:1])}
    with pytest.raises(DataError, match="face: predictions"):
        summarise(task(), rows, runs, reference="face")


def test_results_have_the_main_benchmark_on_top_and_paths_inside_the_run(tmp_path):
    run = tmp_path / "run"
    files = {"manifest": tmp_path / "m.jsonl", "predictions": {"face": run / "eval" / "f.jsonl"}}
    path = write_results(run, {"toy": summary() | files, "other": summary()}, info={"seed": 1})
    content = json.loads(path.read_text())
    assert (content["benchmark"], content["main"]) == ("toy", "toy")
    assert content["metrics"]["accuracy"]["value"] == 1.0
    assert content["variants"]["face"]["ceiling"] == 0.6
    assert content["info"] == {"seed": 1}
    assert content["runs"]["toy"]["predictions"] == {"face": "eval/f.jsonl"}
    assert content["runs"]["toy"]["manifest"] == str(tmp_path / "m.jsonl")


def test_the_same_results_are_the_same_bytes(tmp_path):
    first = write_results(tmp_path / "a", {"toy": summary()}).read_bytes()
    assert write_results(tmp_path / "b", {"toy": summary()}).read_bytes() == first


def test_results_of_nothing_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least one benchmark"):
        write_results(tmp_path, {})


def test_a_second_benchmark_keeps_the_paths_of_the_first(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path("run")
    inside, outside = run / "eval/a.jsonl", tmp_path / "corpus/manifest.jsonl"
    first = {
        "reference": "all",
        "variants": {"all": {"metrics": {}, "ceiling": None}},
        "comparisons": [],
        "manifest": str(outside),
        "predictions": {"all": str(inside)},
    }
    write_results(run, {"one": first})
    write_results(run, {**read_runs(run), "two": first})
    for summary in json.loads((run / "results.json").read_text())["runs"].values():
        assert summary["manifest"] == str(outside)
        assert summary["predictions"] == {"all": "eval/a.jsonl"}
