"""MELD and IEMOCAP: dialogues as groups, mojibake, broken clips, session files cut by time."""

from __future__ import annotations

from pathlib import Path

import pytest

from affect_mllm.data import manifest
from affect_mllm.media.audio import read_audio
from tests.recipes.kit import SUBSET, Kit, run, write
from tests.recipes.makers import MAKERS


def test_melds_text_is_repaired_and_counted(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["meld"](tmp_path, kit)
    ran = run("meld", [*made.args, SUBSET], tmp_path)
    rows = ran.rows
    assert rows["train_dia0_utt0"]["subtitle"] == "That’s the company’s."
    assert rows["train_dia0_utt1"]["subtitle"] == "You’ve been caféd, “really”?"
    assert rows["val_dia110_utt7"]["subtitle"] == "Oh my — he’s lost it."
    assert rows["test_dia0_utt0"]["subtitle"] == '"No, no!"'
    assert "note: 2 utterances had mojibake" in ran.out


def test_melds_dialogues_are_numbered_anew_in_each_split(tmp_path: Path, kit: Kit) -> None:
    rows = run("meld", [*MAKERS["meld"](tmp_path, kit).args, SUBSET], tmp_path).rows
    assert rows["train_dia0_utt0"]["group"] == "train_dia0"
    assert rows["test_dia0_utt0"]["group"] == "test_dia0"
    first = {"emotion": "fear", "sentiment": "negative", "context": []}
    assert rows["test_dia0_utt0"]["labels"] == first
    assert rows["train_dia0_utt1"]["labels"]["context"] == ["Ann: That’s the company’s."]
    assert rows["train_dia125_utt3"]["labels"]["context"] == [], "another dialogue's"
    folder = "output_repeated_splits_test"
    assert rows["test_dia0_utt0"]["video"] == f"{folder}/dia0_utt0.mp4"


def test_melds_known_broken_clips_leave_text_and_repaired_ones_are_used(
    tmp_path: Path, kit: Kit
) -> None:
    made = MAKERS["meld"](tmp_path, kit)
    ran = run("meld", [*made.args, SUBSET], tmp_path)
    assert "note: train dia125_utt3: the clip is absent or broken; the row is text only" in ran.out
    assert "note: val dia110_utt7" in ran.out
    for name in ("train_dia125_utt3", "val_dia110_utt7"):
        assert "video" not in ran.rows[name]
    kit.put(tmp_path / "train_splits/dia125_utt3.mp4")
    rows = run("meld", [*made.args, SUBSET], tmp_path).rows
    assert rows["train_dia125_utt3"]["video"] == "train_splits/dia125_utt3.mp4"


def test_melds_other_folder_names_are_known(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["meld"](tmp_path, kit)
    (tmp_path / "train_splits").rename(tmp_path / "train")
    rows = run("meld", [*made.args, SUBSET], tmp_path).rows
    assert rows["train_dia0_utt0"]["video"] == "train/dia0_utt0.mp4"
    (tmp_path / "train").rename(tmp_path / "clips")
    ran = run("meld", made.args, tmp_path)
    assert (ran.code, "no folder 'train_splits' or 'train'" in ran.err) == (1, True)


def test_iemocaps_turns_are_cut_from_the_dialogues(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["iemocap"](tmp_path, kit)
    ran = run("iemocap", [*made.args, SUBSET], tmp_path)
    row = ran.rows["Ses02F_impro01_F000"]
    assert row["video"] == "Session2/dialog/avi/DivX/Ses02F_impro01.avi"
    assert (row["start_s"], row["end_s"]) == (0.1, 0.9)
    assert (row["group"], row["speaker"]) == ("Ses02F_impro01", "Ses02_F")
    assert row["labels"] == {
        "emotion": "excited",
        "valence": 0.75,
        "arousal": 0.5,
        "dominance": 0.0,
        "context": [],
    }
    other = ran.rows["Ses02F_impro01_M000"]
    assert other["labels"]["context"] == ["Ses02_F: We won!"]
    assert other["subtitle"] == "Not [sigh] again: no."
    assert other["speaker"] == "Ses02_M"
    assert "dominance" not in other["labels"], "5.5 is outside of the scale of 1 to 5"
    assert "note: 5 turns left out" in ran.out
    sample = next(s for s in manifest.read(ran.manifests[0]) if s.id == "Ses02F_impro01_F000")
    heard = read_audio(sample.path("video"), start_s=sample.start_s, end_s=sample.end_s)
    assert heard is not None
    assert len(heard) / 16_000 == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(
    ("classes", "emotions"),
    [("4", ["happy"]), ("6", ["excited", "frustrated"]), ("all", ["excited", "frustrated"])],
)
def test_iemocaps_classes_merge_excited_into_happy_only_for_four(
    classes: str, emotions: list[str], tmp_path: Path, kit: Kit
) -> None:
    MAKERS["iemocap"](tmp_path, kit)
    ran = run("iemocap", [str(tmp_path), "--classes", classes, SUBSET], tmp_path)
    assert ran.manifests == [tmp_path / f"manifest-iemocap-{classes}.jsonl"]
    assert [row["labels"]["emotion"] for row in ran.rows.values()] == emotions * 5


@pytest.mark.parametrize("session", ["5", "2"])
def test_iemocaps_test_session_is_a_choice(session: str, tmp_path: Path, kit: Kit) -> None:
    MAKERS["iemocap"](tmp_path, kit)
    rows = run("iemocap", [str(tmp_path), "--test-session", session, SUBSET], tmp_path).rows
    assert {id[4] for id, row in rows.items() if row["split"] == "test"} == {session}
    assert len(rows) == 5


def test_iemocap_counts_every_class(tmp_path: Path, kit: Kit) -> None:
    MAKERS["iemocap"](tmp_path, kit)
    ran = run("iemocap", [str(tmp_path)], tmp_path)
    assert "total: found 5, published 5531; train: found 4, published 4290" in ran.err
    assert "test: found 1, published 1241" in ran.err
    assert "emotion happy: found 5, published 1636" in ran.err


def test_iemocap_without_video_takes_the_turns_sound_files(tmp_path: Path, kit: Kit) -> None:
    MAKERS["iemocap"](tmp_path, kit)
    for session in range(1, 6):
        folder = tmp_path / f"Session{session}"
        (folder / f"dialog/avi/DivX/Ses0{session}F_impro01.avi").unlink()
        (folder / "dialog/avi/DivX").rmdir()
        name = f"Ses0{session}F_impro01"
        kit.put(folder / f"sentences/wav/{name}/{name}_F000.wav")
    (row, *_) = run("iemocap", [str(tmp_path), SUBSET], tmp_path).rows.values()
    assert row["audio"] == "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    assert "start_s" not in row


def test_a_turn_without_a_line_in_the_transcript_has_no_subtitle(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["iemocap"](tmp_path, kit)
    write(made.table, "% explains\n[0.1 - 0.3]\tSes01F_impro01_F009\tneu\t[1.0, 1.0, 1.0]\n")
    ran = run("iemocap", [*made.args, SUBSET], tmp_path)
    assert "subtitle" not in ran.rows["Ses01F_impro01_F009"]
    assert "1 turns have no line in their transcript" in ran.out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1.0 - 2.0]\tSes01F_impro01_F009\tbad\t[1.0, 1.0, 1.0]", "emotion 'bad'"),
        ("[1.0 - 2.0] Ses01F_impro01_F009 neu", "the line"),
    ],
)
def test_a_strange_turn_is_refused_with_its_line(
    line: str, message: str, tmp_path: Path, kit: Kit
) -> None:
    made = MAKERS["iemocap"](tmp_path, kit)
    write(made.table, f"% explains\n{line}\n")
    ran = run("iemocap", [*made.args, SUBSET], tmp_path)
    assert (ran.code, ran.manifests) == (1, [])
    assert message in ran.err
