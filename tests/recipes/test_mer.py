"""The MER family: label archives and tables, subtitles, faces, open labels, descriptions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.recipes.kit import SUBSET, Kit, corpora, run, table, write
from tests.recipes.makers import MAKERS


def test_mer2023s_archive_gives_words_valence_faces_and_sound(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["mer2023"](tmp_path, kit)
    rows = run("mer2023", [*made.args, SUBSET], tmp_path).rows
    first = rows["sample_1"]
    assert first["labels"] == {"emotion": "happy", "valence_published": 1.5}
    assert (first["audio"], first["subtitle"]) == ("audio/sample_1.wav", "Well, sample_1.")
    assert first["faces"] == "openface_face/sample_1/sample_1.npy"
    assert rows["sample_2"]["labels"] == {"emotion": "sad", "valence_published": -3.0}
    assert "faces" not in rows["sample_2"]
    last = rows["samplenew_5"]
    assert last["labels"] == {"emotion": "neutral"}, "-10 says that there is no valence"
    assert "subtitle" not in last
    splits = ["train", "train", "test1", "test2", "test3"]
    assert [row["split"] for row in rows.values()] == splits


def test_mer2023s_release_is_read_as_well(tmp_path: Path, kit: Kit) -> None:
    for split, ending in (("train", ".avi"), ("test1", ".mp4"), ("test2", ".mp4")):
        kit.put(tmp_path / split / f"sample_{split}{ending}")
        columns, cells = ["name", "discrete", "valence"], [f"sample_{split}", "angry", -2.5]
        table(tmp_path / f"{split}-label.csv", columns, cells)
    kit.put(tmp_path / "test3/samplenew_9.mp4")
    table(tmp_path / "test3-label.csv", ["name", "discrete"], ["samplenew_9", "worried"])
    rows = run("mer2023", [str(tmp_path), SUBSET], tmp_path).rows
    assert rows["sample_train"]["video"] == "train/sample_train.avi"
    assert rows["sample_test2"]["labels"] == {"emotion": "angry", "valence_published": -2.5}
    assert rows["samplenew_9"]["labels"] == {"emotion": "worried"}


def test_a_label_outside_the_six_is_refused_with_its_row(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["mer2024"](tmp_path, kit)
    corpora(made.table, {"train": {"samplenew_1": {"emo": "joyful"}}})
    ran = run("mer2024", [*made.args, SUBSET], tmp_path)
    assert (ran.code, ran.manifests) == (1, [])
    assert "[samplenew_1] emotion 'joyful' is none of angry, happy" in ran.err
    corpora(made.table, {"train": {"samplenew_1": {"emo": 3}}})
    assert "expected: an emotion word" in run("mer2024", made.args, tmp_path).err
    corpora(made.table, {"train": {"nobody": {"emo": "sad"}}})
    assert "no line for this clip" in run("mer2024", made.args, tmp_path).err


def test_mer2024_takes_chinese_text_and_the_release_its_later_labels(
    tmp_path: Path, kit: Kit
) -> None:
    made = MAKERS["mer2024"](tmp_path / "unibench", kit)
    rows = run("mer2024", [*made.args, SUBSET], tmp_path).rows
    assert {row["subtitle"] for row in rows.values()} == {"你好"}
    release = tmp_path / "release"
    kit.put(release / "video-labeled/samplenew_1.mp4")
    for name in ("samplenew_2", "samplenew_3"):
        kit.put(release / f"video-unlabeled-with-test2noise/{name}.mp4")
    columns = ["name", "discrete"]
    table(release / "label-disdim.csv", [*columns, "valence"], ["samplenew_1", "happy", 2])
    table(release / "reference-semi.csv", columns, ["samplenew_2", "sad"])
    table(release / "reference-noise.csv", columns, ["samplenew_3", "angry"])
    rows = run("mer2024", [str(release), SUBSET], release).rows
    assert {id: row["split"] for id, row in rows.items()} == {
        "samplenew_1": "train",
        "samplenew_2": "test1",
        "samplenew_3": "test2",
    }


def test_mer2025_joins_labels_reasons_subtitles_and_faces(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["mer2025"](tmp_path, kit)
    ran = run("mer2025", [*made.args, SUBSET], tmp_path)
    assert ran.manifests == [tmp_path / "manifest-mercaptionplus.jsonl"]
    first, second, third = ran.rows.values()
    assert first["labels"] == {
        "description": "They smile, in samplenew3_1.",
        "emotions": ["happy", "joyful"],
    }
    assert (first["subtitle"], first["audio"]) == ("Good!", "audio/samplenew3_1.wav")
    assert first["faces"] == "openface_face/samplenew3_1/samplenew3_1.npy"
    assert second["labels"]["emotions"] == ["can't wait", "eager"]
    assert third["labels"]["emotions"] == ["neutral"], "AffectGPT reads an empty list so"
    assert "subtitle" not in second
    assert "note: 1 clips have no line in subtitle_chieng.csv" in ran.out


def test_mer2025_says_which_clips_only_one_table_has(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["mer2025"](tmp_path, kit)
    path = tmp_path / "track3_train_mercaptionplus.csv"
    table(path, ["name", "reason"], ["samplenew3_1", "Why."])
    ran = run("mer2025", [*made.args, SUBSET], tmp_path)
    assert "note: 2 clips are in one of the two tables only" in ran.out
    assert ran.rows["samplenew3_2"]["labels"] == {"emotions": ["can't wait", "eager"]}
    refused = run("mer2025", [str(tmp_path), "--subset", "ovmerd"], tmp_path)
    assert (refused.code, "track2_train_ovmerd.csv" in refused.err) == (1, True)


def test_an_open_label_list_that_cannot_be_read_names_its_line(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["ov_merd_plus"](tmp_path, kit)
    table(made.table, ["name", "openset"], ["sample_1", "['a']"], ["sample_2", "['a' 'b']"])
    ran = run("ov_merd_plus", [*made.args, SUBSET], tmp_path)
    assert ran.code == 1
    assert f"{made.table}:3: cannot be read as a list" in ran.err


def test_emers_first_release_has_emotion_subtitle_and_reason(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["emer"](tmp_path, kit)
    columns = ["names", "emotions", "subtitles", "reasons"]
    rows = [["sample_1", "angry", "Go away.", "He shouts."], ["sample_2", "happy", "", "A smile."]]
    table(made.table.parents[1] / "dataset-v1/gt-eng.csv", columns, *rows)
    ran = run("emer", [*made.args, "--release", "1", SUBSET], tmp_path)
    assert ran.manifests == [tmp_path / "clips/manifest-emer-v1.jsonl"]
    first, second = ran.rows.values()
    assert first["labels"] == {"emotion": "angry", "description": "He shouts."}
    assert (first["video"], first["subtitle"]) == ("train/sample_1.mp4", "Go away.")
    assert "subtitle" not in second


def test_merr_has_cues_and_the_text_of_either_file(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["merr"](tmp_path, kit)
    ran = run("merr", [*made.args, SUBSET], tmp_path)
    first, second = ran.rows.values()
    assert first["labels"]["visual_cues"] == "Lip corner puller, Cheek raiser"
    assert first["labels"]["vocal_cues"] == "a bright voice"
    assert first["labels"]["peak_index"] == 3
    assert first["peak_s"] == pytest.approx(3 / 25)
    assert "peak_s" not in second
    assert "1 rows have a peak frame that is not found in their clip" in ran.out
    assert first["subtitle"] == "Look here!"
    assert (second["subtitle"], second["labels"]["emotion"]) == ("Is it?", "doubt")
    assert "visual_cues" not in second["labels"]


def test_merrs_two_files_must_agree_on_the_emotion(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["merr"](tmp_path, kit)
    write(made.table.with_suffix(".txt"), "samplenew_1 35 sad 0.1\nsamplenew_2 doubt\n")
    ran = run("merr", [*made.args, SUBSET], tmp_path)
    assert (ran.code, "the emotions ['happy', 'sad']" in ran.err) == (1, True)
    write(made.table.with_suffix(".txt"), "samplenew_1\n")
    assert "expected: NAME EMOTION" in run("merr", [*made.args, SUBSET], tmp_path).err


def test_merrs_coarse_file_takes_its_emotion_from_the_list(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["merr"](tmp_path, kit)
    path = made.table.with_name("MERR_coarse_grained.json")
    write(path, json.dumps({"samplenew_1": {"caption": "A person smiles."}}))
    write(path.with_suffix(".txt"), "samplenew_1 35 happy -1.174107\n")
    args = [*made.args[:-1], "coarse", SUBSET]
    (row,) = run("merr", args, tmp_path).rows.values()
    assert row["labels"] == {"emotion": "happy", "description": "A person smiles."}
