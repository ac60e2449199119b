"""mer2025: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, crops, table


def make(root: Path, kit: Kit) -> Made:
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
