"""meld_dyadic: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, table

COLUMNS = ["Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID"]
OLD = ["Old_Dialogue_ID", "Old_Utterance_ID", "Season", "Episode", "StartTime", "EndTime"]
FOLDERS = {"train": "train", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}


def make(root: Path, kit: Kit) -> Made:
    place = [8, 21, "00:16:16,059", "00:16:21,731"]
    for split, folder in FOLDERS.items():
        path = root / f"{split}_sent_emo_dya.csv"
        first = ["Itâ€™s late.", "Ann", "sadness", "negative", 4, 0, 2, 5, *place]
        second = ["So?", "Bo", "neutral", "neutral", 4, 1, 2, 7, *place]
        table(path, [*COLUMNS, *OLD], first, second)
        kit.put(root / folder / "dia2_utt5.mp4", root / folder / "dia2_utt7.mp4")
    return Made([str(root)], path, 6)
