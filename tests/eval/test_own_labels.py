"""A benchmark of a manifest's own labels, and what the reading engine makes of foreign words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from affect_mllm import config
from affect_mllm.data import label_file, manifest
from affect_mllm.data.label_questions import question
from affect_mllm.data.label_space import Label, described
from affect_mllm.data.row_checks import LABEL_RANGES
from affect_mllm.eval.benchmarks import benchmark_names, load_task
from affect_mllm.eval.own_labels import OwnLabels, misread
from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.score.scoring import score
from affect_mllm.tools.app import main
from affect_mllm.types import ConfigError

LABELS: dict[str, list[Any]] = {
    "emotion": ["boredom", "焦虑", "contempt", None],
    "stress": [1.0, 9.0, None, 4.0],
    "signs": [["frown", "sigh"], ["sigh"], ["frown"], None],
    "reason": ["x", "y", "z", None],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rows = [
        {"id": f"r{i}", "subtitle": "x", "split": "test",
         "labels": {key: own[i] for key, own in LABELS.items() if own[i] is not None}}
        for i in range(4)
    ]  # fmt: skip
    manifest.write(rows, tmp_path / "m.jsonl")
    kinds = {"emotion": "classes", "stress": "number", "signs": "list", "reason": "text"}
    found = {
        key: described(kinds[key], [("test", each) for each in own if each is not None])  # type: ignore[arg-type]
        for key, own in LABELS.items()
    }
    label_file.write(tmp_path / "m.jsonl", found)
    return tmp_path / "m.jsonl"


def own_task(path: Path, **given: Any) -> Any:
    cfg = config.compose("eval", ["benchmark=own_clips", "checkpoint=x"])
    return config.build({**cfg.benchmark, **given}).of(path)


def test_the_labels_are_the_manifests_and_rows_without_one_do_not_count(path: Path) -> None:
    task = load_task("own_clips", path)
    assert task == own_task(path)
    assert task.labels == ("boredom", "contempt", "焦虑")
    assert task.question.endswith("one of: boredom, contempt, 焦虑.")
    rows = manifest.read(path)
    said = {"r0": "Boredom.", "r1": "The person feels 焦虑", "r2": "boredom"}
    result = score(task, rows, [Prediction(id, response=text) for id, text in said.items()])
    assert result["n"] == 3, "the fourth has no emotion"
    assert result["metrics"]["accuracy"]["value"] == pytest.approx(2 / 3)
    assert result["metrics"]["uar"]["value"] == pytest.approx(2 / 3)


def test_a_number_is_scored_on_its_own_scale_under_its_own_name(path: Path) -> None:
    task = own_task(path, truth="stress")
    assert (task.name, task.kind, task.scale) == ("own_clips_stress", "regression", (1.0, 9.0))
    said = {"r0": "3", "r1": "9", "r3": "It is 4."}
    rows = [Prediction(id, response=text) for id, text in said.items()]
    result = score(task, manifest.read(path), rows)
    assert result["metrics"]["mae"]["value"] == pytest.approx(2 / 3)


def test_levels_are_numbers_as_they_are_written_and_no_two_are_alike(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    rows = [{"id": f"r{at}", "subtitle": "x", "split": "test", "labels": {"stress": at}}
            for at in (0, 10)]  # fmt: skip
    manifest.write(rows, path)
    label_file.write(path, {"stress": described("number", [("test", 0), ("test", 10)])})
    levels = OwnLabels("o", truth="stress", levels=5).of(path).levels
    assert levels == {"0": 0, "2": 2, "5": 5, "8": 8, "10": 10}
    with pytest.raises(ConfigError, match="11 at most"):
        OwnLabels("o", truth="stress", levels=21).of(path)


def test_a_list_is_a_set_of_the_words_that_the_question_lists(path: Path) -> None:
    task = own_task(path, truth="signs")
    assert (task.kind, task.labels) == ("multi_label", ("frown", "sigh"))
    rows = [Prediction(f"r{i}", response=text) for i, text in enumerate(("sigh, frown", "sigh"))]
    result = score(task, manifest.read(path), rows)
    assert result["metrics"]["set_accuracy"]["value"] == pytest.approx(2 / 3)


def test_given_words_take_the_place_of_the_labels_own(path: Path) -> None:
    names = ["boredom", "contempt", "焦虑", "joy"]
    task = own_task(path, labels=names, metrics=["uar"])
    assert task.labels == tuple(names)
    assert task.question.endswith("boredom, contempt, 焦虑, joy.")
    assert own_task(path, question="Q?").question == "Q?"


def test_a_text_is_scored_by_its_overlap_with_the_label(path: Path) -> None:
    task = own_task(path, truth="reason")
    assert (task.name, task.kind) == ("own_clips_reason", "description")
    assert task.question == "What is the reason?"
    said = {"r0": "x", "r1": "q", "r2": "z z"}
    rows = [Prediction(id, response=text) for id, text in said.items()]
    result = score(task, manifest.read(path), rows)
    assert result["metrics"]["rouge_l"]["value"] == pytest.approx((1 + 0 + 2 / 3) / 3)


def test_a_manifest_of_texts_alone_has_a_benchmark(tmp_path: Path) -> None:
    row = {"id": "a", "subtitle": "x", "split": "test", "labels": {"description": "They cry."}}
    manifest.write([row], tmp_path / "m.jsonl")
    task = own_task(tmp_path / "m.jsonl")
    assert (task.name, task.truth, task.labels) == ("own_clips", "description", ())


def test_a_label_that_is_not_there_is_refused_with_those_that_are(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"one of \['emotion', 'stress', 'signs', 'reason'\]"):
        own_task(path, truth="mood")


def test_it_needs_a_manifest_and_is_no_benchmark_without_one() -> None:
    assert "own_clips" not in benchmark_names()
    with pytest.raises(ConfigError, match="no manifest to take its labels from"):
        load_task("own_clips")


def test_files_are_scored_by_the_manifests_labels(path: Path, capsys) -> None:
    said = path.with_name("p.jsonl")
    said.write_text(json.dumps({"id": "r1", "response": "焦虑"}) + "\n")
    words = ["score", "--benchmark", "own_clips", "--manifest", str(path)]
    with pytest.raises(SystemExit) as left:
        main([*words, "--predictions", str(said), "--json"])
    assert left.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(1 / 3)
    assert found["recalls"]["焦虑"] == 1 if "recalls" in found else True


def test_folds_of_one_dataset_are_scored_as_one(tmp_path: Path, capsys) -> None:
    answers = []
    for fold in range(2):
        rows = [
            {"id": f"r{i}", "subtitle": "x", "split": "test" if i % 2 == fold else "train",
             "labels": {"emotion": ("sad", "happy")[i // 2 % 2]}}
            for i in range(8)
        ]  # fmt: skip
        manifest.write(rows, tmp_path / f"{fold}.jsonl")
        answers += [{"id": row["id"], "response": "sad"} for row in rows if row["split"] == "test"]
    said = tmp_path / "p.jsonl"
    said.write_text("".join(json.dumps(row) + "\n" for row in answers))
    words = ["score", "--benchmark", "own_clips", "--predictions", str(said), "--json"]
    folds = [word for fold in range(2) for word in ("--manifest", str(tmp_path / f"{fold}.jsonl"))]
    with pytest.raises(SystemExit) as left:
        main([*words, *folds])
    assert left.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["n"], found["metrics"]["accuracy"]["value"]) == (8, 0.5)
    manifest.write([{"id": "o", "subtitle": "x", "split": "test", "labels": {"emotion": "odd"}}],
                   tmp_path / "1.jsonl")  # fmt: skip
    with pytest.raises(SystemExit) as left:
        main([*words, *folds])
    assert left.value.code == 2
    assert "several with other labels" in capsys.readouterr().err


@pytest.mark.parametrize(
    "labels",
    [
        ["boredom", "angry", "sad", "neutral", "disgust", "fear", "happy"],
        ["焦虑", "平静", "愤怒", "悲伤"],
        ["anxiety", "contempt", "calm"],
        ["langeweile", "freude", "ärger", "überraschung"],
        ["level 1", "level 2", "level 3"],
        ["high", "medium", "low"],
    ],
)
def test_foreign_words_are_read_as_what_they_say(labels: list[str]) -> None:
    assert [*misread(labels)] == []
    assert [*misread(labels, "list")] == []


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["happy", "joy", "sad"], "'happy' and 'joy' are of one sense"),
        (["anger", "angry"], "'anger' and 'angry' are of one sense"),
        (["not happy", "happy, very"], "has a comma"),
    ],
)
def test_words_that_the_engine_confuses_are_named(labels: list[str], said: str) -> None:
    assert any(said in each for each in misread(labels))


@pytest.mark.parametrize("key", sorted(LABEL_RANGES))
def test_every_range_of_a_manifest_is_asked_for_and_read(key: str) -> None:
    low, high = LABEL_RANGES[key]
    label = Label("number", {"test": 1}, low=low, high=high)
    made = config.build(question(key, label))
    assert f"{low:g}" in made.plain_question()
