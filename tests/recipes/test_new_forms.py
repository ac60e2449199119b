"""What recipes make of pairs, ratings, instructions, folds and segments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from emodb import split_of

from affect_mllm.eval.benchmarks import load_task
from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.score.scoring import score
from affect_mllm.types import Sample
from tests.recipes.kit import SUBSET, Kit, run, table, workbook, write
from tests.recipes.makers import MAKERS
from tests.recipes.makers.aeb import lines


def test_the_preferred_video_of_a_pair_stands_at_either_place(tmp_path: Path, kit: Kit) -> None:
    kit.put(*(tmp_path / f"videos/{at:05}.mp4" for at in range(21)))
    pairs = [[f"{at:05}", f"{at + 1:05}"] for at in range(20)]
    for split, part in (("train", pairs[:10]), ("test", pairs[10:])):
        write(tmp_path / f"{split}_labels.json", json.dumps({"comparisons": part}))
    found = list(run("v2v", [str(tmp_path), SUBSET], tmp_path).rows.values())
    for pair, row in zip(pairs, found, strict=True):
        shown = {clip["name"]: Path(clip["video"]).stem for clip in row["clips"]}
        assert sorted(shown.values()) == pair
        assert shown[row["labels"]["preference"]] == pair[1]
    assert {row["labels"]["preference"] for row in found} == {"first", "second"}


def test_a_list_of_videos_is_shown_in_a_drawn_order(tmp_path: Path, kit: Kit) -> None:
    kit.put(*(tmp_path / f"videos/{at:05}.mp4" for at in range(24)))
    lists = [[f"{at:05}" for at in range(first, first + 3 + first % 2)] for first in range(20)]
    write(tmp_path / "listwise_labels.json", json.dumps({"comparisons": lists}))
    found = list(run("v2v", [str(tmp_path), SUBSET], tmp_path).rows.values())
    for names, row in zip(lists, found, strict=True):
        shown = {clip["name"]: Path(clip["video"]).stem for clip in row["clips"]}
        assert [shown[place] for place in row["labels"]["ranking"]] == names[::-1]
        assert shown[row["labels"]["most_pleasant"]] == names[-1]
    places = {row["labels"]["most_pleasant"] for row in found}
    assert places == {"first", "second", "third", "fourth"}


def test_eemo_benchs_questions_and_ratings(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["eemo_bench"](tmp_path, kit)
    rows = run("eemo_bench", [*made.args, SUBSET], tmp_path).rows
    assert rows["pair/0"]["clips"] == [{"image": "images/3.jpg"}, {"image": "images/7.jpg"}]
    assert rows["pair/0"]["labels"]["options"] == {"A": "No.", "B": "Yes."}
    assert rows["pair/0"]["labels"]["answer"] == "A"
    assert rows["pair/2"]["labels"]["description"] == "The first, for its rain."
    args = [str(tmp_path), "--form", "images", SUBSET, "--out", str(tmp_path / "i/m.jsonl")]
    (tmp_path / "i").mkdir()
    assert run("eemo_bench", args, tmp_path).code == 0
    seen = [json.loads(line) for line in (tmp_path / "i/m.jsonl").read_text().splitlines()]
    assert [row["id"] for row in seen] == ["3.jpg", "7.jpg", "9.jpg"]
    labels = seen[0]["labels"]
    assert (labels["valence"], labels["arousal"], labels["dominance"]) == (0.75, 0.5, 0.0)
    assert labels["votes"] == {"joy": 40, "fear": 9}


def test_an_instruction_is_the_question_and_its_answer_has_the_sets_form(
    tmp_path: Path, kit: Kit
) -> None:
    made = MAKERS["aeb"](tmp_path, kit)
    rows = {r["labels"]["set"]: r for r in run("aeb", [*made.args, SUBSET], tmp_path).rows.values()}
    assert rows["sst"]["labels"]["rating"] == 0.25
    assert rows["sst5"]["labels"]["category"] == "positive"
    assert rows["tdt"]["labels"]["category"] == "negative"
    assert rows["emobank"]["labels"]["dimension"] == "arousal"
    assert rows["goemotions"]["labels"]["emotions"] == ["fear", "surprise"]
    asked = rows["sst"]["labels"]["question"]
    assert asked.endswith("A rainy film Sentiment score: ")
    assert rows["sst"]["messages"][0] == {"role": "user", "content": asked}


def test_semevals_tasks_are_told_apart_by_their_answers(tmp_path: Path) -> None:
    ei, v = "Tweet: Oh. Emotion E: joy. Intensity {}: ", "Tweet: Oh. Intensity {}: "
    lines(
        tmp_path / "test.json",
        (ei.format("Score"), "0.517"),
        (ei.format("Class"), "2: moderate amount of joy can be inferred"),
        (v.format("Score"), "0.5"),
        (v.format("Class"), "-1: slightly negative"),
        ("Tweet: Oh. This tweet contains emotions: ", "joy, love"),
    )
    ran = run("aeb", [str(tmp_path), "--part", "semeval", SUBSET], tmp_path)
    found = {id.split("/")[0]: row["labels"] for id, row in ran.rows.items()}
    assert list(found) == ["ei_reg", "ei_oc", "v_reg", "v_oc", "e_c"]
    assert (found["ei_reg"]["rating"], found["ei_reg"]["asked_emotion"]) == (0.517, "joy")
    assert (found["ei_oc"]["rating"], found["v_oc"]["rating"]) == (2, -1)
    assert found["e_c"]["emotions"] == ["joy", "love"]


def test_crema_ds_folds_and_perceived_emotions(tmp_path: Path, kit: Kit) -> None:
    takes = ("1001_DFA_ANG_XX", "1019_IEO_HAP_HI", "1064_TIE_SAD_XX")
    kit.put(*(tmp_path / f"AudioWAV/{take}.wav" for take in takes))
    header = ["", "FileName", "VoiceVote", "FaceVote", "MultiModalVote"]
    path = tmp_path / "processedResults/summaryTable.csv"
    table(path, header, [1, takes[0], "A", "D", "A:D"], [2, takes[1], "H", "H", "H"])
    rows = run("crema_d", [str(tmp_path), "--fold", "2", SUBSET], tmp_path).rows
    assert {id: row["split"] for id, row in rows.items()} == {takes[0]: "train", takes[1]: "test"}
    labels = rows[takes[0]]["labels"]
    assert labels["perceived_multimodal"] == ["anger", "disgust"]
    assert labels["perceived_face"] == "disgust"


def test_ravdess_has_folds_of_speech_alone(tmp_path: Path, kit: Kit) -> None:
    kit.put(*(tmp_path / f"03-01-03-02-01-01-{actor}.wav" for actor in ("04", "05", "24")))
    rows = run("ravdess", [str(tmp_path), "--fold", "2", SUBSET], tmp_path).rows
    assert [row["split"] for row in rows.values()] == ["train", "test", "train"]
    song = run("ravdess", [str(tmp_path), "--channel", "song", "--fold", "1"], tmp_path)
    assert (song.code, "folds of song" in song.err) == (2, True)


def test_segments_of_a_video_are_rows_of_one_group(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["c_expr_db"](tmp_path, kit)
    rows = run("c_expr_db", [*made.args, SUBSET], tmp_path).rows
    assert list(rows) == ["01_Sadly-Angry_0", "01_Sadly-Angry_1", "01_Other_0"]
    second = rows["01_Sadly-Angry_1"]
    assert (second["start_s"], second["end_s"], second["group"]) == (0.1, 0.18, "01")
    assert second["labels"] == {"emotion": "sadly angry"}


@pytest.mark.parametrize(("preference", "said"), [("a3", "preference 'a3'"), ("", "an empty cell")])
def test_a_preference_is_one_of_them(preference: str, said: str, tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["mer2026"](tmp_path, kit)
    columns = ["name", "a1", "a2", "preference"]
    table(made.table, columns, ["samplenew3_1", "Joy.", "Grief.", preference])
    ran = run("mer2026", [*made.args, SUBSET], tmp_path)
    assert ran.code == 1
    assert f"{made.table}:2" in ran.err
    assert said in ran.err


def test_turns_before_one_are_its_context(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["emorynlp"](tmp_path, kit)
    rows = run("emorynlp", [*made.args, SUBSET], tmp_path).rows
    second = rows["test_s1e15c1u3"]
    assert second["speaker"] == "Bo O'Hara, Cy Day"
    assert second["labels"]["context"] == ["Ann Bell: Tea, please."]
    made = MAKERS["meld_dyadic"](tmp_path / "d", kit)
    rows = run("meld_dyadic", [*made.args, SUBSET], tmp_path / "d").rows
    assert rows["test_dyad4_utt1"]["video"] == "output_repeated_splits_test/dia2_utt7.mp4"
    assert rows["test_dyad4_utt1"]["labels"]["context"] == ["Ann: It’s late."]


def test_a_dialogue_has_a_clip_where_its_speaker_speaks(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["avamerg"](tmp_path, kit)
    rows = run("avamerg", [*made.args, SUBSET], tmp_path).rows
    first, answer, second, response = (turn["content"] for turn in rows["00007"]["messages"])
    assert (first, second) == ("<video:utt0><audio:utt0>\nOh.", "<video:utt2><audio:utt2>\nMaths.")
    assert (answer, response) == ("What is it?", "Take your time.")
    assert [clip["name"] for clip in rows["00007"]["clips"]] == ["utt0", "utt2"]
    assert rows["00012"]["clips"] == [{"name": "utt0", "video": "test/dia12utt1.mp4"}]
    assert rows["00007"]["labels"]["emotion"] == "anxious"
    assert rows["00007"]["labels"]["dialogue"] == (
        "Speaker (utt0): Oh.\nListener: What is it?\nSpeaker (utt2): Maths."
    )


def test_a_held_out_subject_is_the_test_split(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["megc2019"](tmp_path, kit)
    rows = run("megc2019", [*made.args, "--held-out", "samm/006", SUBSET], tmp_path).rows
    assert [row["split"] for row in rows.values()] == ["train", "test", "train"]
    smic = rows["smic/s01/s01_ne_01"]
    assert (smic["frames"], smic["frames_fps"]) == ("SMIC/s01/micro/negative/s01_ne_01", 100)
    assert [row["labels"]["emotion"] for row in rows.values()] == [
        "positive",
        "surprise",
        "negative",
    ]
    wrong = run("megc2019", [*made.args, "--held-out", "samm/6", SUBSET], tmp_path)
    assert (wrong.code, "one of ['casme2/sub01'" in wrong.err) == (2, True)


def test_onset_apex_and_offset_are_found_by_the_pictures_numbers(tmp_path: Path, kit: Kit) -> None:
    made = MAKERS["megc2019"](tmp_path, kit)
    for place, first in (("CASME2/Cropped/sub01/EP02_01f", 46), ("SAMM/006/006_1_2", 558)):
        for path in (tmp_path / place).iterdir():
            path.unlink()
        kit.put(*(tmp_path / place / f"reg_img{first + at:05}.jpg" for at in range(9)))
    header = ["Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame"]
    workbook(tmp_path / "CASME2-coding.xlsx", header, [1, "EP02_01f", None, 46, 51, 52])
    above = ["MICRO_EXPRESSION CODES"], [None]
    header = ["Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame"]
    workbook(tmp_path / "SAMM.xlsx", *above, header, ["006", "006_1_2", 1, 560, "/", 566])
    rows = run("megc2019", [*made.args, SUBSET], tmp_path).rows
    first, second, third = rows.values()
    assert (first["start_s"], first["end_s"], first["peak_s"]) == (0.0, 0.035, 0.025)
    assert first["labels"]["apex_frame"] == 51
    assert (second["start_s"], second["end_s"]) == (0.01, 0.045)
    assert "peak_s" not in second, "an apex that nobody coded"
    assert "start_s" not in third, "SMIC has no frames coded"


# Rows: truths 0, 1, 2 of christy1206/STSTNet@1afb56e, STSTNet_python_logfile.txt; columns: answers.
STSTNET = ((195, 39, 16), (36, 68, 5), (12, 7, 64))


def test_pooled_answers_of_a_published_log_have_its_scores() -> None:
    """UF1 0.7209 and UAR 0.725 of 442 clips, each subject held out once."""
    task = load_task("megc2019")
    rows, said = [], []
    for truth, counts in zip(task.labels, STSTNET, strict=True):
        for answer, count in zip(task.labels, counts, strict=True):
            ids = [f"{truth}-{answer}-{at:03}" for at in range(count)]
            about = {"split": "test", "labels": {"emotion": truth}}
            rows += [Sample(id, Path(), speaker="s", **about) for id in ids]
            said += [Prediction(id, response=answer) for id in ids]
    found = score(task, rows, said)["metrics"]
    assert found["macro_f1"]["n"] == 442
    assert found["macro_f1"]["value"] == pytest.approx(0.7209484, abs=1e-6)
    assert found["uar"]["value"] == pytest.approx(0.7249792, abs=1e-6)


def test_emodbs_folds_test_every_actor_once(tmp_path: Path, kit: Kit) -> None:
    actors = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")
    kit.put(*(tmp_path / f"wav/{actor}a01Fa.wav" for actor in actors))
    rows = run("emodb", [str(tmp_path), "--fold", "5", SUBSET], tmp_path).rows
    splits = {row["speaker"]: row["split"] for row in rows.values()}
    assert splits == {actor: split_of(actor, 5) for actor in actors}
    told = {fold: [split_of(actor, fold) for actor in actors] for fold in range(1, 6)}
    assert all((each.count("test"), each.count("val")) == (2, 1) for each in told.values())
    assert all(sum(each[n] == "test" for each in told.values()) == 1 for n in range(10))
    assert rows["03a01Fa"]["labels"]["emotion"] == "happy"
    assert rows["03a01Fa"]["labels"]["sentence"] == "Der Lappen liegt auf dem Eisschrank."
