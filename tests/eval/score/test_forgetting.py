"""What stages won on emotion and lost on general ability, from the files that they leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from affect_mllm.data import manifest
from affect_mllm.eval.score.forgetting import Asked, forgetting
from affect_mllm.eval.score.summary import summarise, write_results
from affect_mllm.eval.task import Task
from affect_mllm.types import Sample
from tests.eval.runs import answers, corpus, task, write_predictions

COUNT = 24
TASKS = {"toy": task(), "pope": task(name="pope"), "mme": task(name="mme")}
Rights = Mapping[str, int]


def said(rows: list[Sample], right: int, **more):
    """Answers of which the first `right` are right."""
    return [replace(one, **more) for one in answers(rows, {r.id: "no idea" for r in rows[right:]})]


def asked(
    root: Path,
    name: str,
    rights: Rights,
    *,
    parents: tuple[str, ...] = (),
    before: Rights | None = None,
    tasks: Mapping[str, Task] = TASKS,
    **more,
) -> Asked:
    """A folder as `eval.py` leaves it: of each benchmark so many right answers in COUNT."""
    folder, rows = root / name, corpus(COUNT, labels={"sentiment": 0.0})
    folder.mkdir()
    manifest.write(rows, folder / "manifest.jsonl")
    found = {}
    for benchmark, right in rights.items():
        runs = {"face+audio+text": said(rows, right, checkpoint=name, **more)}
        if before is not None:
            runs["untrained"] = said(rows, before[benchmark], checkpoint="none", **more)
        paths = {v: write_predictions(folder / benchmark / f"{v}.predictions.jsonl", each)
                 for v, each in runs.items()}  # fmt: skip
        summary = summarise(tasks[benchmark], rows, runs)
        found[benchmark] = summary | {"manifest": folder / "manifest.jsonl", "predictions": paths}
    stages = [{"stage": "s", "parent": None}, *({"stage": "s", "parent": p} for p in parents)]
    write_results(folder, found, info={"lineage": stages})
    return Asked.of(folder, name)


def test_each_stage_stands_against_the_one_before_and_the_last_against_the_start(tmp_path):
    rows = forgetting(
        [
            asked(tmp_path, "last", {"toy": 21, "pope": 6, "mme": 18}, parents=("one", "two")),
            asked(tmp_path, "one", {"toy": 3, "pope": 18, "mme": 18},
                  before={"toy": 3, "pope": 18, "mme": 12}),
            asked(tmp_path, "two", {"toy": 12, "pope": 18, "mme": 18}, parents=("one",)),
        ]
    )  # fmt: skip
    found = {(row["run"], row["before"]): row for row in rows}
    assert list(found) == [
        ("last", "two"),
        ("last", "one before training"),
        ("one", "one before training"),
        ("two", "one"),
    ]
    whole = found["last", "one before training"]
    assert whole["emotion"]["value"] == pytest.approx(18 / COUNT)
    assert (whole["emotion"]["won"], whole["emotion"]["lost"]) == (["toy"], [])
    general = whole["general"]
    assert general["value"] == pytest.approx((-12 + 6) / 2 / COUNT)
    assert (general["benchmarks"], general["won"], general["lost"]) == (2, ["mme"], ["pope"])
    assert general["ci_low"] < general["value"] < general["ci_high"]
    same = found["two", "one"]["general"]
    apart = [
        each["difference"] for each in found["two", "one"]["rows"] if each["side"] == "general"
    ]
    assert same["value"] == 0
    assert same["ci_high"] > 0
    assert same["ci_high"] == pytest.approx(apart[0]["ci_high"] / 2**0.5)
    toy = next(each for each in whole["rows"] if each["benchmark"] == "toy")["difference"]
    reach = (toy["ci_high"] - toy["ci_low"]) / 2
    assert whole["emotion"]["ci_high"] - whole["emotion"]["value"] == pytest.approx(reach)
    assert found["one", "one before training"]["general"]["won"] == []


def test_runs_of_no_one_line_stand_against_their_model_before_training_or_the_first(tmp_path):
    first = asked(tmp_path, "a", {"toy": 3, "pope": 9})
    other = asked(tmp_path, "b", {"toy": 3, "pope": 3})
    trained = asked(tmp_path, "c", {"toy": 9, "pope": 9}, before={"toy": 0, "pope": 9})
    rows = forgetting([first, other, trained])
    assert [(row["run"], row["before"]) for row in rows] == [("b", "a"), ("c", "c before training")]
    assert rows[0]["general"]["value"] == pytest.approx(-6 / COUNT)
    assert rows[1]["emotion"]["value"] == pytest.approx(9 / COUNT)


def test_what_is_not_comparable_is_named_with_the_reason_and_no_part_of_a_mean(tmp_path):
    first = asked(tmp_path, "a", {"toy": 3, "pope": 9, "mme": 3})
    newer = TASKS | {"mme": task(name="mme", version="2")}
    other = asked(tmp_path, "b", {"toy": 3, "mme": 9}, tasks=newer)
    (row,) = forgetting([first, other])
    why = {each["benchmark"]: each["reasons"] for each in row["rows"] if not each["comparable"]}
    assert why == {"pope": ["b was not asked"], "mme": ["another version: 2 instead of 1"]}
    assert row["general"] is None
    assert row["emotion"]["benchmarks"] == 1
    prompted = asked(tmp_path, "c", {"toy": 9, "pope": 9, "mme": 3}, prompt_hash="other")
    (row,) = forgetting([first, prompted])
    assert row["emotion"] is None
    (row,) = forgetting([first, prompted], across=["prompt"])
    assert row["emotion"]["value"] == pytest.approx(6 / COUNT)


def test_answers_that_are_gone_are_a_reason(tmp_path):
    first, other = (asked(tmp_path, name, {"toy": 3, "pope": 9}) for name in "ab")
    (tmp_path / "b/pope/face+audio+text.predictions.jsonl").unlink()
    (row,) = forgetting([first, other])
    assert row["general"] is None
    (gone,) = (each for each in row["rows"] if not each["comparable"])
    assert (gone["benchmark"], "predictions.jsonl" in gone["reasons"][0]) == ("pope", True)


def test_an_error_that_fell_is_won_and_one_in_a_scales_unit_is_in_no_mean(tmp_path):
    scale = task(name="mme", kind="regression", labels=(), low=-3, high=3, truth="sentiment",
                 metrics=("mae",))  # fmt: skip
    errors = TASKS | {"toy": task(metrics=("brier",)), "mme": scale}
    pair = [asked(tmp_path, name, {"toy": right, "pope": 3, "mme": 0}, tasks=errors, confidence=1.0)
            for name, right in (("a", 3), ("b", 15))]  # fmt: skip
    (row,) = forgetting(pair)
    assert row["emotion"]["value"] == pytest.approx(12 / COUNT)
    assert row["emotion"]["won"] == ["toy"]
    found = {each["benchmark"]: each for each in row["rows"]}
    assert found["toy"]["difference"]["value"] == pytest.approx(-12 / COUNT)
    assert [name for name, each in found.items() if not each["counted"]] == ["mme"]
    assert row["general"]["benchmarks"] == 1


def test_one_side_alone_is_no_table(tmp_path):
    first, other = (asked(tmp_path, name, {"toy": 3}) for name in "ab")
    assert forgetting([first, other]) == []
