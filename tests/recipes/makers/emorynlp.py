"""emorynlp: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, table

COLUMNS = ["Utterance", "Speaker", "Emotion", "Scene_ID", "Utterance_ID", "Season", "Episode"]
TIMES = ["Start_Time", "End_Time"]


def make(root: Path, kit: Kit) -> Made:
    del kit  # text alone
    place = ["00:00:03.795", "00:00:05.004"]
    for split in ("train", "dev", "test"):
        path = root / f"emorynlp_{split}_final.csv"
        first = ["Tea, please.", "['Ann Bell']", "Neutral", 1, 1, 1, 15, *place]
        second = ["Me, too!", "[\"Bo O'Hara\", 'Cy Day']", "Joyful", 1, 3, 1, 15, *place]
        table(path, [*COLUMNS, *TIMES], first, second)
    return Made([str(root)], path, 6)
