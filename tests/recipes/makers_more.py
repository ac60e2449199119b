"""Fixtures of the sets of images, of acted takes and of questions; nothing of a publisher's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.recipes.kit import Kit, Made, corpora, crops, table, write


def mer_unibench(root: Path, kit: Kit) -> Made:
    labels = {
        "train": {"train_dia0_utt0": {"emo": 1, "val": -10}},
        "val": {"val_dia0_utt0": {"emo": 5, "val": -10}},
        "test": {"test_dia0_utt0": {"emo": 3, "val": -10}},
    }
    names = [name for corpus in labels.values() for name in corpus]
    kit.put(*(root / f"subvideo/{name}.mp4" for name in names), root / f"subaudio/{names[0]}.wav")
    crops(root, names[1])
    texts = [[name, "好", f"Hi, {name}."] for name in names]
    table(root / "transcription-engchi-polish.csv", ["name", "chinese", "english"], *texts)
    path = corpora(root / "label.npz", labels)
    return Made([str(root), "--dataset", "meld"], path, 3)


TASKS = {
    "ER-Lab": ("Anger", ["Anger", "Other"]),
    "ER-Wild": ("fear", ["fear", "joy"]),
    "Noise-ER": ("worried", ["worried", "happy"]),
    "FG-ER": ("Doubt/Confusion", ["Doubt/Confusion", "Peace"]),
    "ML-ER": ("sad,fear", ["happy", "sad", "fear"]),
    "SA": ("negative", ["positive", "negative", "neutral"]),
    "FG-SA": ("weak negative", ["weak negative", "neutral"]),
    "IR": ("agreeing", ["agreeing", "wishing"]),
}


def mme_emotion(root: Path, kit: Kit) -> Made:
    for at, (task, (label, choices)) in enumerate(TASKS.items()):
        video = f"SOURCE/video/clip_{at}.mp4"
        kit.put(root / (task if at % 2 else "") / video)
        content = [{"video_id": video, "label": label, "label_set": choices}]
        path = write(root / f"{task}/question/{task.replace('-', '_')}.json", json.dumps(content))
    return Made([str(root)], path, 8)


def vce(root: Path, kit: Kit) -> Made:
    from vce import EMOTIONS

    def record(name: str, top: str) -> dict[str, object]:
        rated = {each.title(): 0.5 * (each == top.lower()) for each in EMOTIONS}
        return {"emotions": rated, "file": f"videos/{name}.mp4", "topK": [top, "Awe (Or Wonder)"]}

    kit.put(root / "videos/00000.mp4", root / "videos/00001.mp4")
    train = {"00000": record("00000", "Joy")}
    path = write(root / "train_labels.json", json.dumps(train))
    write(root / "test_labels.json", json.dumps({"00001": record("00001", "Empathic Pain")}))
    return Made([str(root)], path, 2)


def mvei(root: Path, kit: Kit) -> Made:
    def said(text: str, label: str, kind: str) -> dict[str, str]:
        return {"statement": text, "label": label, "class": kind, "subclass": "none"}

    kit.put(root / "images/awe/awe_1.jpg")
    statements = [
        said("Viewers feel well.", "correct", "sentiment polarity"),
        said("It is a kitchen.", "incorrect", "scene context"),
    ]
    content = [
        {"image_id": "awe/awe_1.jpg", "ov_emotion": ["Wonder"], "statement_list": statements}
    ]
    return Made([str(root)], write(root / "MVEI_metadata.json", json.dumps(content)), 2)


def ravdess(root: Path, kit: Kit) -> Made:
    video, sound = root / "Video_Speech/Actor_01", root / "Audio_Speech/Actor_01"
    kit.put(video / "01-01-03-02-01-01-01.mp4", video / "02-01-03-02-01-01-01.mp4")
    kit.put(sound / "03-01-03-02-01-01-01.wav", sound / "03-01-06-01-02-02-01.wav")
    kit.put(root / "Audio_Song/Actor_01/03-02-02-01-01-01-01.wav")
    wrong = sound / "03-01-09-01-02-02-01.wav"
    return Made([str(root)], wrong, 2)


def crema_d(root: Path, kit: Kit) -> Made:
    kit.put(root / "AudioWAV/1001_DFA_ANG_XX.wav", root / "AudioWAV/1040_ITH_SAD_X.wav")
    kit.put(root / "AudioWAV/1002_IEO_HAP_HI.wav", root / "VideoFlash/1001_DFA_ANG_XX.flv")
    return Made([str(root)], root / "AudioWAV/1001_DFA_JOY_XX.wav", 3)


def ferv39k(root: Path, kit: Kit) -> Made:
    folder = root / "4_setups/All_scenes"
    path = write(folder / "train_All.csv", "Action/Sad/0010 Sad\nDailyLife/Happy/0003 Happy\n")
    write(folder / "test_All.csv", "Action/Fear/0010 Fear\n")
    for clip in ("Action/Sad/0010", "DailyLife/Happy/0003", "Action/Fear/0010"):
        kit.put(root / f"2_ClipsforFaceCrop/{clip}/0.jpg")
    return Made([str(root)], path, 3)


def raf_db(root: Path, kit: Kit) -> Made:
    path = write(root / "EmoLabel/list_patition_label.txt", "train_00001.jpg 5\ntest_0001.jpg 4\n")
    kit.put(root / "Image/aligned/train_00001_aligned.jpg")
    kit.put(root / "Image/aligned/test_0001_aligned.jpg")
    return Made([str(root)], path, 2)


def emoset(root: Path, kit: Kit) -> Made:
    for split, emotion in (("train", "awe"), ("val", "fear"), ("test", "anger")):
        name = f"{emotion}_00001"
        image, annotation = f"image/{emotion}/{name}.jpg", f"annotation/{emotion}/{name}.json"
        path = write(root / f"{split}.json", json.dumps([[emotion, name, image, annotation]]))
        kit.put(root / image)
    write(
        root / "annotation/awe/awe_00001.json",
        json.dumps(
            {"image_id": "awe_00001", "scene": "sky", "object": ["Tree"], "brightness": 0.3}
        ),
    )
    return Made([str(root)], path, 3)


def artemis(root: Path, kit: Kit) -> Made:
    columns = ["art_style", "painting", "emotion", "utterance", "repetition"]
    told = [
        ["Baroque", "someone_a-dog-1650", "awe", 'The light, the "glow".', 7],
        ["Baroque", "someone_a-dog-1650", "something else", "I wonder.", 7],
        ["Cubism", "andré_étude", "fear", "It stares.", 5],
    ]
    path = table(root / "artemis_dataset_release_v0.csv", columns, *told)
    kit.put(
        root / "wikiart/Baroque/someone_a-dog-1650.jpg", root / "wikiart/Cubism/andré_étude.jpg"
    )
    return Made([str(root), "--media-root", str(root / "wikiart")], path, 3)


MAKERS: dict[str, Callable[[Path, Kit], Made]] = {
    maker.__name__: maker
    for maker in (
        *(mer_unibench, mme_emotion, vce, mvei, ravdess, crema_d, ferv39k, raf_db, emoset),
        artemis,
    )
}
