"""mer_unibench: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, corpora, crops, table


def make(root: Path, kit: Kit) -> Made:
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
