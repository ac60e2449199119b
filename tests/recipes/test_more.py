"""Images, acted takes and questions: what each recipe makes of its publisher's form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.recipes.kit import SUBSET, Kit, corpora, run, table, write
from tests.recipes.makers import MAKERS


def test_unibenchs_numbers_become_words_and_scores(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["mer_unibench"](tmp_path, kit)
    rows = run("mer_unibench", [*made.args, SUBSET], tmp_path).rows
    emotions = [row["labels"] for row in rows.values()]
    assert emotions == [{"emotion": "joy"}, {"emotion": "fear"}, {"emotion": "neutral"}]
    first, second, _ = rows.values()
    assert first["audio"] == "subaudio/train_dia0_utt0.wav"
    assert second["faces"] == "openface_face/val_dia0_utt0/val_dia0_utt0.npy"
    corpora(made.table, {"train": {"train_dia0_utt0": {"emo": 7, "val": -10}}})
    assert "emo 7" in run("mer_unibench", [*made.args, SUBSET], tmp_path).err
    score = {"train": {"train_dia0_utt0": {"emo": 0, "val": -2.4}}}
    corpora(made.table, score)
    args = [str(tmp_path), "--dataset", "cmu_mosi", SUBSET]
    (row,) = run("mer_unibench", args, tmp_path).rows.values()
    assert row["labels"] == {"sentiment": -2.4}
    score["train"]["train_dia0_utt0"]["val"] = -10
    corpora(made.table, score)
    assert "val -10" in run("mer_unibench", args, tmp_path).err


def test_unibenchs_iemocap_is_tested_on_the_fifth_session(tmp_path: Path, kit: Kit) -> None:
    names = ["Ses01F_impro01_F000", "Ses05M_script01_1_M003"]
    corpora(tmp_path / "label_4way.npz", {"whole": {name: {"emo": 3} for name in names}})
    kit.put(*(tmp_path / f"subvideo-tgt/{name}.avi" for name in names))
    texts = [[name, "", "Well."] for name in names]
    columns = ["name", "chinese", "english"]
    twice = [["Ses05M_impro03_FXX0", "", "Oh."]] * 2  # as published: the same line again
    path = table(tmp_path / "transcription-engchi-polish.csv", columns, *texts, *twice)
    args = [str(tmp_path), "--dataset", "iemocap4", SUBSET]
    rows = run("mer_unibench", args, tmp_path).rows
    assert {id: row["split"] for id, row in rows.items()} == dict(
        zip(names, ["train", "test"], strict=True)
    )
    assert rows[names[0]]["labels"] == {"emotion": "angry"}, "the benchmarks' word"
    assert [row["group"] for row in rows.values()] == ["Ses01F_impro01", "Ses05M_script01_1"]
    six = {name: {"emo": at} for at, name in enumerate(names, start=4)}
    corpora(tmp_path / "label_6way.npz", {"whole": six})
    args = [str(tmp_path), "--dataset", "iemocap6", SUBSET]
    rows = run("mer_unibench", args, tmp_path).rows
    words = [row["labels"]["emotion"] for row in rows.values()]
    assert words == ["excited", "frustrated"]
    table(path, columns, *texts, [names[0], "", "Another text."])
    assert f"{path}:4: name '{names[0]}' again" in run("mer_unibench", args, tmp_path).err


def test_unibenchs_subtitles_are_english_and_its_groups_source_videos(
    tmp_path: Path, kit: Kit
) -> None:
    names = ["video_0001_0001", "video_0001_0002"]
    splits = zip(("train", "test"), names, strict=True)
    corpora(
        tmp_path / "label.npz", {split: {name: {"emo": 0, "val": 0.5}} for split, name in splits}
    )
    kit.put(*(tmp_path / f"video/{name}.mp4" for name in names))
    texts = [[name, "好", "Good."] for name in names]
    table(tmp_path / "transcription-engchi-polish.csv", ["name", "chinese", "english"], *texts)
    ran = run("mer_unibench", [str(tmp_path), "--dataset", "ch_sims", SUBSET], tmp_path)
    assert {row["group"] for row in ran.rows.values()} == {"video_0001"}
    assert {row["language"] for row in ran.rows.values()} == {"en"}
    assert "rows of 1 dialogues or source media into several splits" in ran.out


def test_mme_emotions_tasks_have_their_own_label_keys(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["mme_emotion"](tmp_path, kit)
    rows = run("mme_emotion", [*made.args, SUBSET], tmp_path).rows
    labels = {row["labels"]["task"]: row["labels"] for row in rows.values()}
    assert labels["ER-Lab"]["emotion"] == "Anger"
    assert labels["ML-ER"]["emotions"] == ["sad", "fear"]
    assert labels["FG-ER"]["emotions"] == ["Doubt/Confusion", "Peace"], "242 of 500 rows have two"
    assert labels["SA"]["audio_clue"] == "A flat voice."
    assert "audio_clue" not in labels["IR"]
    assert labels["FG-SA"]["sentiment"] == "weak negative"
    assert labels["IR"]["intent"] == "agreeing"
    assert labels["IR"]["candidates"] == ["agreeing", "wishing"]
    videos = [row["video"] for row in rows.values()]
    assert videos[:2] == ["SOURCE/video/clip_0.mp4", "ER-Wild/SOURCE/video/clip_1.mp4"]
    wrong = [{"video_id": "a.mp4", "label": "sad,rage", "label_set": ["sad"]}]
    path = write(tmp_path / "ML-ER/question/ML_ER.json", json.dumps(wrong))
    assert f"{path}[0]: label 'rage'" in run("mme_emotion", [*made.args, SUBSET], tmp_path).err


def test_vces_ratings_are_kept_whole(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["vce"](tmp_path, kit)
    row = run("vce", [*made.args, SUBSET], tmp_path).rows["00001"]
    assert row["labels"]["emotion"] == "empathic pain"
    assert row["labels"]["emotions"] == ["empathic pain", "awe (or wonder)"]
    assert len(row["labels"]["distribution"]) == 27
    assert row["labels"]["distribution"]["empathic pain"] == 0.5
    content = json.loads(made.table.read_text())
    content["00000"]["emotions"]["Joy"] = 1.5
    write(made.table, json.dumps(content))
    ran = run("vce", [*made.args, SUBSET], tmp_path)
    assert f"{made.table}:00000: 27 intensities" in ran.err


def test_mveis_statements_are_rows_of_one_group(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["mvei"](tmp_path, kit)
    first, second = run("mvei", [*made.args, SUBSET], tmp_path).rows.values()
    assert (first["labels"]["is_correct"], second["labels"]["is_correct"]) == (True, False)
    assert first["group"] == second["group"] == "awe/awe_1.jpg"
    assert second["labels"]["statement"] == "It is a kitchen."
    assert first["labels"]["emotions"] == ["wonder"]
    content = json.loads(made.table.read_text())
    content[0]["statement_list"][1]["label"] = "maybe"
    write(made.table, json.dumps(content))
    assert "statement 2: label 'maybe'" in run("mvei", [*made.args, SUBSET], tmp_path).err


def test_ravdess_prefers_video_with_sound_and_keeps_channels_apart(
    tmp_path: Path, kit: Kit
) -> None:
    MAKERS["ravdess"](tmp_path, kit)
    rows = run("ravdess", [str(tmp_path), SUBSET], tmp_path).rows
    happy, fearful = rows["01-03-02-01-01-01"], rows["01-06-01-02-02-01"]
    assert happy["video"] == "Video_Speech/Actor_01/01-01-03-02-01-01-01.mp4"
    assert happy["labels"] == {"emotion": "happy", "intensity_level": "strong"}
    assert (happy["speaker"], happy["subtitle"]) == ("01", "Kids are talking by the door")
    assert fearful["audio"] == "Audio_Speech/Actor_01/03-01-06-01-02-02-01.wav"
    assert fearful["labels"] == {"emotion": "fearful", "intensity_level": "normal"}
    ran = run("ravdess", [str(tmp_path), "--channel", "song", SUBSET], tmp_path)
    assert ran.code == 0
    song = (tmp_path / "manifest-song.jsonl").read_text().splitlines()
    assert [json.loads(row)["labels"]["emotion"] for row in song] == ["calm"]


def test_crema_ds_cut_off_level_is_known(tmp_path: Path, kit: Kit) -> None:
    rows = run("crema_d", [*MAKERS["crema_d"](tmp_path, kit).args, SUBSET], tmp_path).rows
    assert rows["1040_ITH_SAD_X"]["labels"] == {"emotion": "sad", "sentence": "ITH"}
    assert rows["1002_IEO_HAP_HI"]["labels"]["intensity_level"] == "high"
    first = rows["1001_DFA_ANG_XX"]
    assert first["video"] == "VideoFlash/1001_DFA_ANG_XX.flv"
    assert (first["audio"], first["speaker"]) == ("AudioWAV/1001_DFA_ANG_XX.wav", "1001")


def test_ferv39ks_clips_are_folders_of_faces(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["ferv39k"](tmp_path, kit)
    rows = run("ferv39k", [*made.args, SUBSET], tmp_path).rows
    row = rows["DailyLife/Happy/0003"]
    assert row["faces"] == "2_ClipsforFaceCrop/DailyLife/Happy/0003"
    assert row["labels"] == {"emotion": "happy", "scene": "DailyLife"}
    assert [row["split"] for row in rows.values()] == ["train", "train", "test"]


def test_raf_dbs_numbers_and_splits_come_from_the_list(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["raf_db"](tmp_path, kit)
    rows = run("raf_db", [*made.args, SUBSET], tmp_path).rows
    assert rows["train_00001"]["labels"] == {"emotion": "sadness"}
    assert rows["test_0001"]["labels"] == {"emotion": "happiness"}
    assert rows["test_0001"]["image"] == "Image/aligned/test_0001_aligned.jpg"
    for line in ("train_00001.jpg 8", "valid_00001.jpg 1"):
        write(made.table, f"{line}\n")
        ran = run("raf_db", [*made.args, SUBSET], tmp_path)
        assert f"{made.table}:1: " in ran.err
    (tmp_path / "Image/aligned").rename(tmp_path / "Image/other")
    kit.put(tmp_path / "Image/original/train_00001.jpg")
    write(made.table, "train_00001.jpg 7\n")
    rows = run("raf_db", [*made.args, SUBSET], tmp_path).rows
    assert rows["train_00001"]["image"] == "Image/original/train_00001.jpg"


def test_emosets_attributes_come_where_they_are(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["emoset"](tmp_path, kit)
    rows = run("emoset", [*made.args, SUBSET], tmp_path).rows
    assert rows["awe_00001"]["labels"] == {
        "brightness": 0.3,
        "emotion": "awe",
        "object": ["Tree"],
        "scene": "sky",
    }
    assert rows["anger_00001"]["labels"] == {"emotion": "anger"}
    assert [row["split"] for row in rows.values()] == ["train", "val", "test"]


def test_artemis_numbers_the_annotations_of_a_painting(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["artemis"](tmp_path, kit)
    ran = run("artemis", [*made.args, SUBSET], tmp_path)
    assert ran.code == 0
    first, second, third = ran.rows.values()
    assert first["id"] == "Baroque/someone_a-dog-1650#1"
    assert second["id"] == "Baroque/someone_a-dog-1650#2"
    assert first["group"] == second["group"] != third["group"]
    assert first["labels"] == {"description": 'The light, the "glow".', "emotion": "awe"}
    assert third["image"] == "Cubism/andré_étude.jpg"


@pytest.mark.parametrize("name", ["vce", "emoset", "mvei", "mme_emotion"])
def test_an_entry_that_is_no_record_is_refused(name: str, tmp_path: Path, kit: Kit) -> None:
    made = MAKERS[name](tmp_path, kit)
    content = json.loads(made.table.read_text())
    wrong = {"x": 3} if isinstance(content, dict) else [3]
    write(made.table, json.dumps(wrong))
    ran = run(name, [*made.args, SUBSET], tmp_path)
    assert (ran.code, ran.manifests) == (1, [])
    assert str(made.table) in ran.err
