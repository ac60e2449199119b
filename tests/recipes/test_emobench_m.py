"""EmoBench-M's thirteen sets: labels, what is said, and answers that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from emobench_m import BOTH, DATASETS, LABELS, Set

from affect_mllm.eval.benchmarks import load_task
from tests.recipes.kit import SUBSET, Kit, run
from tests.recipes.makers import MAKERS
from tests.recipes.makers.emobench_m import SETS

TASKS = {
    "FGMSA": "fgmsa",
    "MELD": "meld",
    "MUSTARD": "mustard",
    "RAVDSS_song": "ravdess_song",
    "RAVDSS_speech": "ravdess_speech",
    "funny": "ur_funny",
    "mer2023": "mer2023",
}


def rows(root: Path, name: str) -> dict[str, dict[str, Any]]:
    """A set's rows by id; the manifest is gone again."""
    ran = run("emobench_m", [str(root), "--set", name, SUBSET], root)
    assert ran.code == 0, ran.err
    found = ran.rows
    ran.manifests[0].unlink()
    return found


@pytest.mark.parametrize("name", LABELS)
def test_a_sets_labels_are_those_of_its_benchmark(name: str) -> None:
    key, allowed = LABELS[name]
    task = load_task(f"emobench_m_{TASKS.get(name, 'sentiment')}")
    assert (task.truth, sorted(task.labels)) == (key, sorted(allowed))


def test_every_set_has_rows_with_its_own_labels(tmp_path: Path, kit: Kit) -> None:
    MAKERS["emobench_m"](tmp_path, kit)
    assert set(SETS) == set(get_args(Set))
    found = {name: [row["labels"] for row in rows(tmp_path, name).values()] for name in SETS}
    assert [each["sentiment_class"] for each in found["FGMSA"]] == [
        "weak negative",
        "strong positive",
    ]
    assert found["MC-EIU"][0]["emotion_intent"] == "sad_consoling"
    assert (found["MC-EIU"][0]["emotion"], found["MC-EIU"][0]["intent"]) == ("sad", "consoling")
    assert [each["emotion"] for each in found["MELD"]] == ["neutral", "joy"]
    assert found["MUSTARD"][0]["is_sarcastic"] is True
    assert found["funny"][0]["is_humorous"] is False
    assert found["smile"][0]["description"] == "The audience laughed because of it."


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("{'emotion label': 'neutral', 'intent label': 'wishing'}", "neutral_wishing"),
        ("Emotion: Sad\nIntent: neutral", "sad_neutral"),
        ("anger, questioning", "anger_questioning"),
        ("neutral_neutral", "neutral_neutral"),
    ],
)
def test_emotion_and_intent_are_read_as_the_publishers_script_does(
    answer: str, label: str, tmp_path: Path, kit: Kit
) -> None:
    MAKERS["emobench_m"](tmp_path, kit)
    put_answer(tmp_path, "MC-EIU", answer)
    (row,) = rows(tmp_path, "MC-EIU").values()
    assert row["labels"]["emotion_intent"] == label == by_script(answer)


def by_script(answer: str) -> str:
    """What MC-EIU.py of Emo-gml/EmoBench-M@6247d0d makes of a true answer, in other words."""
    firsts = [next(word for word in words if word in answer.lower()) for words in BOTH.values()]
    return "_".join(firsts)


def put_answer(root: Path, name: str, answer: str) -> Path:
    path = root / f"benchmark_json/{name}.json"
    content = json.loads(path.read_text())
    content[0]["conversations"][1]["value"] = answer
    path.write_text(json.dumps(content))
    return path


def test_the_counts_are_those_of_the_papers_table() -> None:
    counts = [dict(each.counts)["test"] for each in DATASETS.values()]
    assert (len(counts), sum(counts)) == (13, 5646)


def test_what_is_said_is_the_subtitle_and_a_films_clips_are_a_group(
    tmp_path: Path, kit: Kit
) -> None:
    MAKERS["emobench_m"](tmp_path, kit)
    first = rows(tmp_path, "MOSEI")["MOSEI/0"]
    assert (first["subtitle"], first["group"]) == ("It rains again.", "film0_0004")
    assert first["video"] == "dataset/MOSEI/videos/MOSEI/film0_0004/00000.mp4"
    assert first["labels"]["question"].startswith("The person in video says: It rains again.")
    assert rows(tmp_path, "funny")["funny/0"]["subtitle"] == "a cat, a hat. a bat."
    assert "subtitle" not in rows(tmp_path, "RAVDSS_song")["RAVDSS_song/0"]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("MOSEI", "glad"),
        ("MC-EIU", "sad or happy, wishing"),
        ("MC-EIU", "a sad one"),
        ("MUSTARD", "A"),
        ("MELD", "{'x': 1, 'y': 2}"),
    ],
)
def test_an_answer_of_another_form_is_refused_by_its_row(
    name: str, answer: str, tmp_path: Path, kit: Kit
) -> None:
    MAKERS["emobench_m"](tmp_path, kit)
    path = put_answer(tmp_path, name, answer)
    ran = run("emobench_m", [str(tmp_path), "--set", name, SUBSET], tmp_path)
    assert (ran.code, ran.manifests) == (1, [])
    assert f"{path}[0]" in ran.err
    assert "expected: one of" in ran.err


def test_the_earlier_release_has_longer_names(tmp_path: Path, kit: Kit) -> None:
    MAKERS["emobench_m"](tmp_path, kit)
    before = rows(tmp_path, "MOSEI")
    old = tmp_path / "benchmark_json/MOSEI_test_500.json"
    (tmp_path / "benchmark_json/MOSEI.json").rename(old)
    (tmp_path / "dataset/MOSEI").rename(tmp_path / "dataset/MOSEI_test_500")
    (tmp_path / "dataset").rename(tmp_path / "dataset_500")
    after = rows(tmp_path, "MOSEI")
    place = "dataset_500/MOSEI_test_500"
    assert after["MOSEI/0"]["video"] == before["MOSEI/0"]["video"].replace("dataset/MOSEI", place)
