"""A fixture for each recipe: a few rows in the publisher's own format, with its quirks.

Names, texts and numbers are made up; no publisher's content is in here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.recipes.kit import Kit, Made, corpora, crops, table, write


def mer2023(root: Path, kit: Kit) -> Made:
    labels = {
        "train": {"sample_1": {"emo": "happy", "val": 1.5}, "sample_2": {"emo": "sad", "val": -3}},
        "test1": {"sample_3": {"emo": "worried", "val": -2.0}},
        "test2": {"sample_4": {"emo": "surprise", "val": 0.5}},
        "test3": {"samplenew_5": {"emo": "neutral", "val": -10}},
    }
    names = [name for corpus in labels.values() for name in corpus]
    kit.put(*(root / "video" / f"{name}.mp4" for name in names))
    kit.put(root / "audio/sample_1.wav", root / "video/._sample_1.mp4")
    crops(root, "sample_1")
    texts = [[name, "好", f"Well, {name}."] for name in names[:4]]
    columns = ["name", "chinese", "english"]
    table(root / "transcription-engchi-polish.csv", columns, *texts, [names[4], "", ""])
    return Made([str(root)], corpora(root / "label-6way.npz", labels), 5)


def mer2024(root: Path, kit: Kit) -> Made:
    labels = {
        "train": {"samplenew_1": {"emo": "happy"}},
        "test1": {"samplenew_2": {"emo": "angry"}},
        "test2": {"samplenew_3": {"emo": "sad"}},
    }
    kit.put(*(root / f"video/samplenew_{at}.mp4" for at in (1, 2, 3)))
    texts = [[f"samplenew_{at}", "你好"] for at in (1, 2, 3)]
    table(root / "transcription_merge.csv", ["name", "chinese"], *texts)
    return Made([str(root)], corpora(root / "label-6way.npz", labels), 3)


def mer2025(root: Path, kit: Kit) -> Made:
    names = [f"samplenew3_{at}" for at in (1, 2, 3)]
    kit.put(*(root / "video" / f"{name}.mp4" for name in names), root / "audio/samplenew3_1.wav")
    crops(root, names[0])
    openset = [[names[0], "['happy', 'Joyful', 'happy']"], [names[1], "[\"can't wait\", 'eager']"]]
    path = root / "track2_train_mercaptionplus.csv"
    table(path, ["name", "openset"], *openset, [names[2], "[]"])
    reasons = [[name, f"They smile, in {name}."] for name in names]
    table(root / "track3_train_mercaptionplus.csv", ["name", "reason"], *reasons)
    texts = [[names[0], "好", "Good!"], [names[1], "", ""]]
    table(root / "subtitle_chieng.csv", ["name", "chinese", "english"], *texts)
    return Made([str(root), "--subset", "mercaptionplus"], path, 3)


def ov_merd_plus(root: Path, kit: Kit) -> Made:
    kit.put(root / "video/sample_1.mp4", root / "video/sample_2.mp4")
    openset = [["sample_1", "['worried', 'nervous']"], ["sample_2", "[calm, content]"]]
    path = table(root / "ovlabel.csv", ["name", "openset"], *openset)
    table(root / "subtitle_eng.csv", ["name", "sentence"], ["sample_1", "Really?"])
    return Made([str(root)], path, 2)


def emer(root: Path, kit: Kit) -> Made:
    kit.put(root / "clips/train/sample_1.mp4", root / "clips/test1/sample_2.mp4")
    reasons = [["sample_1", "他笑。", 'He smiles, and says: "Good."'], ["sample_2", "哭", "Tears."]]
    path = root / "annotations/final-EMER-reason.csv"
    table(path, ["name", "chinese", "english"], *reasons)
    return Made([str(path.parent), "--media-root", str(root / "clips")], path, 2)


def merr(root: Path, kit: Kit) -> Made:
    kit.put(root / "clips/video/samplenew_1.mp4", root / "clips/video/samplenew_2.mp4")
    entry = {
        "AU_list": ["AU12"],
        "visual_prior_list": ["Lip corner puller", "Cheek raiser"],
        "audio_prior_list": "a bright voice",
        "peak_index": "3",
        "pseu_emotion": "happy",
        "text": "",
        "smp_reason_caption": "The bright voice and the smile say that she is happy.",
    }
    other = {**entry, "pseu_emotion": "doubt", "text": "Is it?", "visual_prior_list": []}
    other["peak_index"] = "170"
    content = json.dumps({"samplenew_1": entry, "samplenew_2": other})
    path = write(root / "annotations/MERR_fine_grained.json", content)
    write(path.with_suffix(".txt"), "samplenew_1 happy\nsamplenew_2 35 doubt -1.17\n")
    columns = ["name", "sentence"]
    table(path.with_name("transcription_en_all.csv"), columns, ["samplenew_1", "Look here!"])
    args = [str(path.parent), "--media-root", str(root / "clips"), "--grain", "fine"]
    return Made(args, path, 2)


MELD_COLUMNS = [
    *("Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID"),
    *("Season", "Episode", "StartTime", "EndTime"),
]


def meld(root: Path, kit: Kit) -> Made:
    def rows(*spoken: tuple[str, str, str, int, int]) -> list[list[object]]:
        times = (8, 21, "00:16:16,059", "00:16:21,731")
        return [
            [at, text, "Ann", emotion, sentiment, dialogue, turn, *times]
            for at, (text, emotion, sentiment, dialogue, turn) in enumerate(spoken, start=1)
        ]

    train = rows(
        ("Thatâ€™s the companyâ€™s.", "neutral", "neutral", 0, 0),
        ("You\x92ve been caf\xe9d, \x93really\x94?", "surprise", "positive", 0, 1),
        ("This one does not decode.", "joy", "positive", 125, 3),
    )
    table(root / "train_sent_emo.csv", MELD_COLUMNS, *train)
    val = rows(("Oh my — he’s lost it.", "sadness", "negative", 110, 7))
    table(root / "dev_sent_emo.csv", MELD_COLUMNS, *val)
    path = root / "test_sent_emo.csv"
    table(path, MELD_COLUMNS, *rows(('"No, no!"', "fear", "negative", 0, 0)))
    kit.put(root / "train_splits/dia0_utt0.mp4", root / "train_splits/dia0_utt1.mp4")
    write(root / "train_splits/dia125_utt3.mp4", "no film at all")
    (root / "dev_splits_complete").mkdir()
    kit.put(root / "output_repeated_splits_test/dia0_utt0.mp4")
    kit.put(root / "output_repeated_splits_test/final_videos_testdia0_utt0.mp4")
    write(root / "output_repeated_splits_test/._dia0_utt0.mp4", "macOS")
    return Made([str(root)], path, 5)


EVALUATION = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[0.1000 - 0.9000]\tSes0{s}F_impro01_F000\texc\t[4.5000, 4.0000, 3.0000]
C-E2:\tExcited;\t()
C-F1:\tHappiness; Excited;\t(curious)
A-E3:\tval 5; act 4; dom  3;\t()

[0.7000 - 1.5000]\tSes0{s}F_impro01_M000\tfru\t[2.0000, 3.5000, 5.5000]
C-E2:\tFrustration;\t()

[1.5000 - 2.0000]\tSes0{s}F_impro01_M001\txxx\t[2.5000, 2.5000, 2.5000]
A-M1:\tval 2; act 3; dom  3;\t()
"""
SPOKEN = """Ses0{s}F_impro01_F000 [000.1000-000.9000]: We won!
M: [laughs]
Ses0{s}F_impro01_M000 [000.7000-001.5000]: Not [sigh] again: no.
Ses0{s}F_impro01_M001 [001.5000-002.0000]: Well.
"""


def iemocap(root: Path, kit: Kit) -> Made:
    for session in range(1, 6):
        folder = root / f"Session{session}/dialog"
        name = f"Ses0{session}F_impro01"
        write(folder / f"EmoEvaluation/{name}.txt", EVALUATION.replace("{s}", str(session)))
        write(folder / f"EmoEvaluation/._{name}.txt", "\x00\x05\x16")
        write(folder / f"transcriptions/{name}.txt", SPOKEN.replace("{s}", str(session)))
        kit.put(folder / f"avi/DivX/{name}.avi")
    path = root / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    return Made([str(root), "--classes", "6"], path, 10)


MMSA_COLUMNS = [
    *("video_id", "clip_id", "text", "label", "label_T", "label_A", "label_V", "annotation"),
    "mode",
]


def _mmsa(path: Path, kit: Kit, *rows: list[object]) -> None:
    table(path, MMSA_COLUMNS, *rows, bom=True)
    for row in rows:
        kit.put(path.parent / f"Raw/{row[0]}/{row[1]}.mp4")


def cmu_mosi(root: Path, kit: Kit) -> Made:
    path = root / "label.csv"
    _mmsa(
        path,
        kit,
        ["-dI_x", 1, "I LIKED IT", 2.4, "", "", "", "Positive", "train"],
        ["-dI_x", 2, "NOT THE END", -0.6, "", "", "", "Negative", "train"],
        ["03b", 10, "IT IS A FILM", 0.0, "", "", "", "Neutral", "valid"],
        ["1DmN", 1, "AWFUL, AWFUL", -3, "", "", "", "Negative", "test"],
    )
    return Made([str(root)], path, 4)


def cmu_mosei(root: Path, kit: Kit) -> Made:
    path = table(
        root / "label.csv",
        MMSA_COLUMNS,
        ["-3g5y", 1, "I see that", 1.0, "", "", "", "Positive", "train"],
        ["-3g5y", 0, "Umm", 0.0, "", "", "", "Neutral", "train"],
        ["0K7d", 3, "which is bad", -2.333, "", "", "", "Negative", "test"],
    )
    kit.put(root / "Videos/Full/Combined/-3g5y.mp4", root / "Videos/Full/Combined/0K7d.mp4")
    texts = root / "Transcript/Segmented/Combined"
    write(texts / "-3g5y.txt", "-3g5y___0___0.0___0.1___Umm\n-3g5y___1___0.1___0.2___I see___it\n")
    write(texts / "0K7d.txt", "\n0K7d___3___0.05___0.22___which is bad\n")
    return Made([str(root)], path, 3)


def ch_sims(root: Path, kit: Kit) -> Made:
    path = table(
        root / "label.csv",
        MMSA_COLUMNS,
        ["video_0001", "0001", "我不想", -0.6, -0.8, -0.2, -0.4, "Negative", "train"],
        ["video_0001", 2, "好", 0.8, 0.6, 1.0, 0.8, "Positive", "train"],
        ["video_0002", "0001", "嗯", 0.0, 0.0, 0.0, 0.0, "Neutral", "valid"],
        ["video_0003", "0012", "不行", -1, -1, -1, -1, "Negative", "test"],
    )
    for video, clip in (("1", "1"), ("1", "2"), ("2", "1"), ("3", "12")):
        kit.put(root / f"Raw/video_000{video}/{clip.zfill(4)}.mp4")
    return Made([str(root)], path, 4)


def ch_sims_v2(root: Path, kit: Kit) -> Made:
    path = root / "meta.csv"
    _mmsa(
        path,
        kit,
        ["aqgy3_0001", "00000", "你来了", 0.4, 0.2, 0.4, 0.6, "Positive", "train"],
        ["test1", "00003", "走吧", -0.2, -0.2, 0, 0, "Negative", "valid"],
        ["video_0001", "0001", "算了", -0.6, -0.4, -0.8, 0, "Negative", "test"],
    )
    return Made([str(root)], path, 3)


def dfew(root: Path, kit: Kit) -> Made:
    labels = root / "EmoLabel_DataSplit"
    columns = ["video_name", "label"]
    path = table(labels / "train(single-labeled)/set_1.csv", columns, [1, 1], ["00022", 7])
    table(labels / "test(single-labeled)/set_1.csv", columns, [16372, 3])
    clips = root / "Clip/original"
    kit.put(clips / "part_1/1.mp4", clips / "part_1/00022.mp4", clips / "part_2/16372.mp4")
    kit.put(root / "Clip/clip_224x224/00022/00022_00001.jpg")
    return Made([str(root)], path, 3)


def mafw(root: Path, kit: Kit) -> Made:
    folder = root / "Train & Test Set/single/no_caption/set_2"
    path = write(folder / "train.txt", "00025.mp4 anger\n00026.mp4 neutral\n")
    write(folder / "test.txt", "00151.mp4 helplessness\n")
    captions = "00025.mp4\tanger\t<br>一个男人说话。\t<br>A man speaks angrily.\n"
    captions += "00151.mp4  helplessness  <br>她叹气。 <br> She sighs.\n"
    write(root / "caption-label/single_label.txt", captions)
    kit.put(*(root / f"data/clips/{name}.mp4" for name in ("00025", "00026", "00151")))
    return Made([str(root), "--fold", "2"], path, 3)


def conversations(root: Path, kit: Kit) -> Made:
    kit.put(root / "images/coco/000.jpg", root / "images/clip.mp4")
    asked = [{"from": "human", "value": "<image>\nWho?"}, {"from": "gpt", "value": "A child."}]
    again = [*asked, {"from": "human", "value": "Why?"}, {"from": "gpt", "value": "It plays."}]
    film = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "<video>\nHow does he feel?"},
        {"role": "assistant", "content": "neutral"},
    ]
    text = [{"from": "human", "value": "Hello."}, {"from": "gpt", "value": "Hello!"}]
    records = [
        {"id": "000", "image": "coco/000.jpg", "conversations": asked},
        {"id": "000", "image": "coco/000.jpg", "conversations": again},
        {"id": 7, "video": {"clip": "clip.mp4"}, "conversations": film},
        {"id": "text", "conversations": text},
    ]
    path = write(root / "llava_mix.json", json.dumps(records))
    args = [str(path), "--media-root", str(root / "images"), "--licence", "CC BY 4.0"]
    return Made(args, path, 4)


MAKERS: dict[str, Callable[[Path, Kit], Made]] = {
    maker.__name__: maker
    for maker in (
        *(mer2023, mer2024, mer2025, ov_merd_plus, emer, merr, meld, iemocap, cmu_mosi, cmu_mosei),
        *(ch_sims, ch_sims_v2, dfew, mafw, conversations),
    )
}
