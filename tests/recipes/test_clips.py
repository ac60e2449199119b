"""MOSI, MOSEI, CH-SIMS, DFEW, MAFW: ranges, leading zeros, segments by time, folds, captions."""

from __future__ import annotations

from pathlib import Path

import pytest

from affect_mllm.tools.validation import validate
from tests.recipes.kit import SUBSET, Kit, run, table, workbook, write
from tests.recipes.makers import MAKERS
from tests.recipes.mmsa import COLUMNS


def test_mosis_scores_texts_and_videos(tmp_path: Path, kit: Kit) -> None:
    rows = run("cmu_mosi", [*MAKERS["cmu_mosi"](tmp_path, kit).args, SUBSET], tmp_path).rows
    first = rows["-dI_x_1"]
    assert first["labels"] == {"polarity": "positive", "sentiment": 2.4}
    assert (first["video"], first["group"]) == ("Raw/-dI_x/1.mp4", "-dI_x")
    assert [row["split"] for row in rows.values()] == ["train", "train", "val", "test"]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (3, "3.2", "label '3.2'"),
        (3, "nan", "label 'nan'"),
        (8, "validation", "mode 'validation'"),
        (7, "Great", "polarity 'great' is none of"),
    ],
)
def test_a_row_outside_of_the_scale_is_refused_with_its_line(
    column: int, value: str, message: str, tmp_path: Path, kit: Kit
) -> None:
    made = MAKERS["cmu_mosi"](tmp_path, kit)
    row = ["-dI_x", "1", "TEXT", "1.0", "", "", "", "Positive", "train"]
    row[column] = value
    table(made.table, COLUMNS, row)
    ran = run("cmu_mosi", [*made.args, SUBSET], tmp_path)
    assert ran.code == 1
    assert f"{made.table}:2" in ran.err
    assert message in ran.err


def test_moseis_whole_videos_are_cut_by_time(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["cmu_mosei"](tmp_path, kit)
    rows = run("cmu_mosei", [*made.args, SUBSET], tmp_path).rows
    row = rows["-3g5y_1"]
    assert row["video"] == "Videos/Full/Combined/-3g5y.mp4"
    assert (row["start_s"], row["end_s"]) == (0.1, 0.2)
    assert row["subtitle"] == "I see that", "the text of the table, as for the cut clips"
    kit.put(*(tmp_path / f"Raw/{id[:5]}/{id[6:]}.mp4" for id in ("-3g5y_1", "-3g5y_0")))
    kit.put(tmp_path / "Raw/0K7d/3.mp4")
    cut = run("cmu_mosei", [*made.args, SUBSET], tmp_path).rows["-3g5y_1"]
    assert cut["video"] == "Raw/-3g5y/1.mp4"
    assert "start_s" not in cut


def test_a_segment_that_the_transcript_lacks_is_named(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["cmu_mosei"](tmp_path, kit)
    path = tmp_path / "Transcript/Segmented/Combined/0K7d.txt"
    write(path, "0K7d___4___0.05___0.22___which is bad\n")
    assert f"{path}: no segment 3" in run("cmu_mosei", [*made.args, SUBSET], tmp_path).err
    write(path, "0K7d___3___0.05___which\n")
    assert f"{path}:1: the line" in run("cmu_mosei", [*made.args, SUBSET], tmp_path).err


def test_ch_sims_gives_clip_numbers_their_zeros_back(tmp_path: Path, kit: Kit) -> None:
    rows = run("ch_sims", [*MAKERS["ch_sims"](tmp_path, kit).args, SUBSET], tmp_path).rows
    assert list(rows)[:2] == ["video_0001_0001", "video_0001_0002"]
    assert rows["video_0001_0002"]["video"] == "Raw/video_0001/0002.mp4"
    assert rows["video_0001_0001"]["labels"] == {
        "polarity": "negative",
        "sentiment": -0.6,
        "sentiment_audio": -0.2,
        "sentiment_text": -0.8,
        "sentiment_video": -0.4,
    }


def test_videos_in_several_splits_are_said_and_stay_visible(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["ch_sims"](tmp_path, kit)
    content = made.table.read_text(encoding="utf-8-sig").replace("video_0003", "video_0002")
    write(made.table, content)
    (tmp_path / "Raw/video_0003").rename(tmp_path / "Raw/old")
    kit.put(tmp_path / "Raw/video_0002/0012.mp4")
    ran = run("ch_sims", [*made.args, SUBSET], tmp_path)
    assert "puts rows of 1 dialogues or source media into several splits" in ran.out
    (problem,) = validate(ran.manifests[0])[0].problems
    assert "'video_0002' is in 'val' and in 'test'" in problem.reason


def test_ch_sims_v2s_two_tables_have_their_own_counts(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["ch_sims_v2"](tmp_path, kit)
    ran = run("ch_sims_v2", made.args, tmp_path)
    assert "train: found 1, published 2722" in ran.err
    made.table.rename(tmp_path / "label.csv")
    ran = run("ch_sims_v2", made.args, tmp_path)
    assert "train: found 1, published 2721" in ran.err
    rows = run("ch_sims_v2", [*made.args, SUBSET], tmp_path)
    assert "note: labels read from label.csv" in rows.out


def test_dfews_names_are_text_of_five_digits(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["dfew"](tmp_path, kit)
    ran = run("dfew", [*made.args, SUBSET], tmp_path)
    assert ran.manifests == [tmp_path / "manifest-fold1.jsonl"]
    assert list(ran.rows) == ["00001", "00022", "16372"]
    assert ran.rows["00001"]["video"] == "Clip/original/part_1/1.mp4"
    assert ran.rows["00022"]["faces"] == "Clip/clip_224x224/00022"
    labels = [row["labels"]["emotion"] for row in ran.rows.values()]
    assert labels == ["happy", "fear", "neutral"]
    assert [row["split"] for row in ran.rows.values()] == ["train", "train", "test"]


def test_dfews_training_layout_has_faces_only(tmp_path: Path, kit: Kit) -> None:
    columns = ["video_name", "label"]
    for fold in (1, 3):
        table(tmp_path / f"label/single_trainset_{fold}.csv", columns, [fold, 2])
        table(tmp_path / f"label/single_testset_{fold}.csv", columns, ["00009.mp4", 4])
        kit.put(tmp_path / f"data/0000{fold}/0000{fold}_00001.jpg")
    kit.put(tmp_path / "data/00009/00009_00001.jpg")
    ran = run("dfew", [str(tmp_path), "--fold", "3", SUBSET], tmp_path)
    assert ran.rows["00003"]["faces"] == "data/00003"
    assert "video" not in ran.rows["00003"]
    assert set(ran.rows) == {"00003", "00009"}
    ran = run("dfew", [str(tmp_path), "--fold", "2", SUBSET], tmp_path)
    assert (ran.code, "no split of the dataset" in ran.err) == (1, True)


@pytest.mark.parametrize("fold", ["1", "2", "3", "4", "5"])
def test_dfews_folds_have_their_own_counts(fold: str, tmp_path: Path, kit: Kit) -> None:
    test = {"1": 2341, "2": 2341, "3": 2340, "4": 2339, "5": 2336}[fold]
    for split in ("train", "test"):
        path = tmp_path / f"label/single_{split}set_{fold}.csv"
        table(path, ["video_name", "label"], [len(split), 1])
    for name in ("00005", "00004"):
        kit.put(tmp_path / f"data/{name}/{name}_00001.jpg")
    ran = run("dfew", [str(tmp_path), "--fold", fold], tmp_path)
    counts = f"train: found 1, published {11697 - test}; test: found 1, published {test}"
    assert counts in ran.err


@pytest.mark.parametrize(
    ("cells", "message"),
    [(["1", 8], "label 8"), (["clip", 1], "video_name 'clip'"), (["1", "happy"], "label 'happy'")],
)
def test_a_strange_row_of_dfew_is_refused(
    cells: list, message: str, tmp_path: Path, kit: Kit
) -> None:
    made = MAKERS["dfew"](tmp_path, kit)
    table(made.table, ["video_name", "label"], cells)
    ran = run("dfew", [*made.args, SUBSET], tmp_path)
    assert f"{made.table}:2: {message}" in ran.err


def test_mafws_captions_come_in_two_languages(tmp_path: Path, kit: Kit) -> None:
    rows = run("mafw", [*MAKERS["mafw"](tmp_path, kit).args, SUBSET], tmp_path).rows
    assert rows["00025"]["labels"] == {
        "caption_zh": "一个男人说话。",
        "description": "A man speaks angrily.",
        "emotion": "anger",
        "fold": 2,
    }
    assert rows["00151"]["labels"]["description"] == "She sighs."
    assert rows["00026"]["labels"] == {"emotion": "neutral", "fold": 2}
    assert rows["00151"]["split"] == "test"


def test_mafws_workbook_of_captions_is_read_as_well(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["mafw"](tmp_path, kit)
    workbook(tmp_path / "Labels/descriptive_text.xlsx", ["00151.mp4", "她哭。", "She weeps."])
    rows = run("mafw", [*made.args, SUBSET], tmp_path).rows
    assert rows["00151"]["labels"]["description"] == "She weeps."
    assert rows["00025"]["labels"]["description"] == "A man speaks angrily."


def test_mafws_compound_labels_are_a_list(tmp_path: Path, kit: Kit) -> None:
    MAKERS["mafw"](tmp_path, kit)
    folder = tmp_path / "Train & Test Set/compound/no_caption/set_1"
    write(folder / "train.txt", "00025.mp4 anger_disgust\n")
    write(folder / "test.txt", "00151.mp4 neutral\n")
    ran = run("mafw", [str(tmp_path), "--compound", SUBSET], tmp_path)
    assert ran.manifests == [tmp_path / "manifest-compound-fold1.jsonl"]
    assert ran.rows["00025"]["labels"]["emotions"] == ["anger", "disgust"]
    write(folder / "test.txt", "00151.mp4 anger_rage\n")
    ran = run("mafw", [str(tmp_path), "--compound", SUBSET], tmp_path)
    assert "[00151] emotions 'rage' is none of" in ran.err


def test_a_caption_line_of_another_form_is_refused(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["mafw"](tmp_path, kit)
    path = write(tmp_path / "caption-label/multi_label.txt", "00025.mp4\tanger\tA man.\n")
    ran = run("mafw", [*made.args, SUBSET], tmp_path)
    assert (ran.code, f"{path}:1: the line" in ran.err) == (1, True)
