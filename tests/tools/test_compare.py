"""`affect-mllm compare` and `board`: hand-worked pairs, and what is marked rather than mixed."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from affect_mllm.data import manifest
from affect_mllm.eval.files import write_json_atomic
from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.score.sample_log import write_log
from affect_mllm.eval.score.scoring import read_answers, score
from affect_mllm.eval.score.summary import summarise, write_results
from affect_mllm.eval.task import Task
from affect_mllm.tools.app import main
from affect_mllm.types import ExitCode, Sample
from tests.eval.report.test_page import Page
from tests.eval.runs import answers, corpus, task, write_predictions


def call(*argv: str) -> int | str | None:
    with pytest.raises(SystemExit) as left:
        main(argv)
    return left.value.code


def scored(
    folder: Path, said: list[Prediction], rows: list[Sample], one: Task | None = None
) -> str:
    """A run as `score --out --log` leaves it, of the command's own parts."""
    one = one or task()
    result = score(one, rows, said) | {"task": one.__dict__, "log": "log.jsonl"}
    write_json_atomic(folder / "results.json", json.loads(json.dumps(result, default=vars)))
    write_log(folder / "log.jsonl", one, read_answers(one, rows, said))
    return str(folder)


@pytest.fixture
def rows() -> list[Sample]:
    return [replace(each, group=f"g{i // 2}") for i, each in enumerate(corpus(12))]


@pytest.fixture
def pair(tmp_path, rows) -> list[str]:
    """The first has s00 and s03 wrong, the other s00, s06 and what the first has right in s01."""
    first = answers(rows, {"s00": "<b>sad</b>", "s03": "sad"})
    other = answers(rows, {"s00": "?", "s06": "sad", "s01": "happy"})
    return [scored(tmp_path / "a", first, rows), scored(tmp_path / "b", other, rows)]


def compared(capsys, *argv: str) -> list[dict[str, Any]]:
    assert call("compare", *argv, "--json") == ExitCode.DONE
    return json.loads(capsys.readouterr().out)


def test_a_pair_worked_by_hand(pair, capsys):
    (row,) = compared(capsys, *pair, "--metric", "accuracy")
    assert row["comparable"]
    assert row["difference"]["value"] == pytest.approx(-1 / 12, abs=1e-5)
    assert row["difference"]["ci_low"] <= -1 / 12 <= row["difference"]["ci_high"]
    assert (row["only_first"], row["only_this"]) == (["s01", "s06"], ["s03"])
    # Three groups differ, by one sample each: whatever their signs, they sum up to 1 or 3.
    assert row["p"] == 1.0
    values = [row["metrics"][side]["accuracy"]["value"] for side in ("first", "run")]
    assert values == pytest.approx([10 / 12, 9 / 12], abs=1e-5)
    classes = {part["part"]: part for part in row["parts"] if part["key"] == "true class"}
    assert {name: (p["n"], p["only_first"], p["only_this"]) for name, p in classes.items()} == {
        "angry": (4, 0, 0), "happy": (4, 1, 1), "sad": (4, 1, 0)}  # fmt: skip
    assert classes["sad"]["difference"]["value"] == pytest.approx(-1 / 4)
    assert all(part["p_holm"] >= part["p"] for part in row["parts"])


def test_runs_are_cut_to_the_samples_that_both_have(tmp_path, rows, pair, capsys):
    fewer = [*rows[2:], Sample("more", Path(), split="test", labels={"emotion": "sad"})]
    c = scored(tmp_path / "c", answers(fewer, {"s06": "sad"}), fewer)
    (row,) = compared(capsys, pair[0], c, "--metric", "accuracy")
    assert (row["n"], row["left_out"]) == (10, {"first": 2, "run": 1})
    assert (row["only_first"], row["only_this"]) == (["s06"], ["s03"])
    assert row["difference"]["value"] == 0
    assert call("compare", pair[0], c) == ExitCode.DONE
    assert "10 common samples; left out: 2 of the first, 1 of this" in capsys.readouterr().out


def other_run(kind: str, folder: Path, rows: list[Sample]) -> str:
    said, one = answers(rows), task()
    if kind == "prompt":
        said = [replace(each, prompt_hash="def") for each in said]
        one = task(language="de")  # the prompt says it
    elif kind == "unknown prompt":
        said = [replace(each, prompt_hash=None) for each in said]
    elif kind == "subset":
        said = [replace(each, modalities=("audio",)) for each in said]
    elif kind == "extraction":
        said = [replace(each, labels=("sad",), extraction="llm@1") for each in said]
    elif kind == "version":
        one = task(version="2")
    elif kind == "definition":
        one = task(labels=("happy", "sad", "angry", "calm"))
    elif kind == "labels":
        rows = [replace(rows[0], labels={"emotion": "angry"}), *rows[1:]]
    elif kind == "samples":
        rows = [replace(each, id=f"x{each.id}") for each in rows]
        said = answers(rows)
    return scored(folder, said, rows, one)


REASONS = {
    "prompt": "another prompt: def instead of abc",
    "unknown prompt": "another prompt: not recorded instead of abc",
    "subset": "another subset: audio instead of audio+face",
    "extraction": "another extraction: llm@1 instead of closed_label_v4",
    "version": "another version: 2 instead of 1",
    "definition": "its benchmark differs in labels",
    "labels": "other labels: s00 is 'angry' instead of 'happy'",
    "samples": "no sample in common",
}


@pytest.mark.parametrize("kind", REASONS)
def test_what_is_not_comparable_is_named_and_not_mixed(tmp_path, rows, pair, capsys, kind):
    other = other_run(kind, tmp_path / "c", rows)
    (row,) = compared(capsys, pair[0], other)
    assert (row["comparable"], row["reasons"]) == (False, [REASONS[kind]])
    assert "difference" not in row
    assert call("board", str(tmp_path), "--json") == ExitCode.DONE
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert [[each["run"] for each in group["rows"]] for group in groups] == [["a", "b"], ["c"]]
    assert groups[0]["apart"] == []
    if kind in ("labels", "samples"):
        assert groups[1]["apart"][0].startswith("other samples or labels: 12 samples")
    else:
        assert groups[1]["apart"][0] == REASONS[kind]
    (row,) = compared(capsys, pair[0], other, "--across", "prompt,subset,extraction")
    allowed = kind in ("prompt", "unknown prompt", "subset", "extraction")
    assert row["comparable"] == allowed
    assert (REASONS[kind] in row["notes"]) == allowed


def test_what_evaluation_wrote_is_compared_with_what_scoring_wrote(tmp_path, rows, pair, capsys):
    manifest.write(rows, tmp_path / "manifest.jsonl")
    run, files, said = tmp_path / "eval", {}, {}
    for name, wrong in (
        ("face+audio+text", {"s00": "sad", "s03": "sad"}),
        ("face", {"s05": "sad"}),
    ):
        said[name] = answers(rows, wrong)
        files[name] = write_predictions(run / f"{name}.predictions.jsonl", said[name])
    found = summarise(task(), rows, said)
    found |= {"manifest": tmp_path / "manifest.jsonl", "predictions": files}
    write_results(run, {"toy": found})
    (row,) = compared(capsys, pair[0], str(run))
    assert (row["comparable"], row["difference"]["value"], row["only_this"]) == (True, 0, [])
    (row,) = compared(capsys, pair[0], str(run), "--variant", "face")
    assert row["only_this"] == ["s00", "s03"]
    assert call("compare", pair[0], str(run), "--variant", "smell") == ExitCode.FAILED
    assert "'face', 'face+audio+text', 'majority'" in capsys.readouterr().err
    assert call("board", str(tmp_path), "--variants", "--across", "subset,prompt", "--json") == 0
    (group,) = json.loads(capsys.readouterr().out)["groups"]
    assert {row["run"] for row in group["rows"]} == {
        "a",
        "b",
        "eval",
        "eval: face",
        "eval: majority",
    }
    assert group["rows"][0]["metrics"]["accuracy"]["value"] == round(11 / 12, 6)
    (run / "face.predictions.jsonl").write_text("")
    assert call("compare", pair[0], str(run), "--variant", "face") == ExitCode.FAILED
    assert "accuracy is 0.916667, its answers make 0.0" in capsys.readouterr().err


def test_the_text_fits_80_columns_and_the_page_shows_texts_as_texts(tmp_path, rows, pair, capsys):
    other = other_run("prompt", tmp_path / "c", rows)
    assert call("compare", *pair, other, "--out", str(tmp_path / "out")) == ExitCode.DONE
    text = capsys.readouterr().out
    assert "toy: b against a" in text
    assert "not comparable: another prompt" in text
    assert max(map(len, text.splitlines())) <= 80
    page = Page((tmp_path / "out/compare.html").read_text())
    assert "c is not comparable with a : another prompt: def instead of abc." in page.words
    assert "Only a has these right: 2" in page.words
    assert not page.all("b")
    assert not page.all("script")
    assert len(page.all("circle", "dot")) == 1 + 3  # the runs, the true classes
    found = [json.loads(x) for x in (tmp_path / "out/differences.jsonl").read_text().splitlines()]
    assert [(row["id"], row["right"]) for row in found] == [
        ("s01", "a"),
        ("s03", "b"),
        ("s06", "a"),
    ]
    assert found[0]["answers"]["b"] == {"answer": "happy", "status": "ok", "response": "happy"}


def test_a_board_in_three_forms(tmp_path, rows, pair, capsys):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/results.json").write_text("{}")
    assert call("board", *pair, str(tmp_path / "broken"), "--out", str(tmp_path / "o")) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "o/board.md").read_text() == printed
    lines = [re.split(r" *\| *", line)[1:-1] for line in printed.splitlines() if line[:3] == "| 1"]
    assert (lines[0][1], lines[0][2][:8]) == ("a", "83.3 % [")
    assert lines[0][-4:] == ["12", "0.0%", "abc", "not recorded"]
    assert "broken/results.json: no result of ours" in printed
    table = list(csv.DictReader((tmp_path / "o/board.csv").read_text().splitlines()))
    assert len(table) == 2 * len(task().metrics)
    one = next(row for row in table if row["run"] == "b" and row["metric"] == "accuracy")
    assert (one["rank"], float(one["value"]), one["n"]) == ("2", 0.75, "12")
    assert float(one["ci_low"]) < 0.75 < float(one["ci_high"])
    assert float(one["unread"]) == pytest.approx(1 / 12, abs=1e-6)
    page = Page((tmp_path / "o/board.html").read_text())
    assert "1 · a" in page.words
    assert "not comparable" not in page.words.replace("What is not comparable has", "")


def test_where_less_is_better_the_least_is_first(tmp_path):
    scale = task(kind="regression", labels=(), low=-3, high=3, truth="sentiment", metrics=("mae",))
    rows = [Sample(f"s{i}", tmp_path, split="test", labels={"sentiment": i - 2}) for i in range(5)]
    for name, off in (("far", 1.0), ("near", 0.5)):
        said = [Prediction(s.id, response=f"{s.labels['sentiment'] - off}") for s in rows]
        scored(tmp_path / name, said, rows, scale)
    assert call("board", str(tmp_path), "--out", str(tmp_path / "o")) == ExitCode.DONE
    table = list(csv.DictReader((tmp_path / "o/board.csv").read_text().splitlines()))
    assert [row["run"] for row in table] == ["near", "far"]


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("compare", "a"), ExitCode.USAGE, "two different ones"),
        (("compare", "a", "a"), ExitCode.USAGE, "two different ones"),
        (("compare", "a", "none"), ExitCode.FAILED, "score --out FILE --log FILE"),
        (("compare", "a", "b", "--across", "labels"), ExitCode.USAGE, "'prompt', 'subset'"),
        (("compare", "a", "b", "--metric", "mae"), ExitCode.USAGE, "'macro_f1'"),
        (("compare", "a", "no_log"), ExitCode.FAILED, "names no log"),
        (("board", "empty"), ExitCode.FAILED, "no results.json in it or below"),
        (("board", "a", "--benchmark", "dfew"), ExitCode.USAGE, "'toy'"),
    ],
)
def test_a_mistake_is_one_message(tmp_path, pair, monkeypatch, capsys, argv, code, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    content = json.loads((tmp_path / "b/results.json").read_text())
    del content["log"]
    (tmp_path / "no_log").mkdir()
    (tmp_path / "no_log/results.json").write_text(json.dumps(content))
    assert call(*argv) == code
    assert said in capsys.readouterr().err
