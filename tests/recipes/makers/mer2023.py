"""mer2023: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, corpora, crops, table


def make(root: Path, kit: Kit) -> Made:
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
