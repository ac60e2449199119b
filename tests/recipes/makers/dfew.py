"""dfew: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, table


def make(root: Path, kit: Kit) -> Made:
    labels = root / "EmoLabel_DataSplit"
    columns = ["video_name", "label"]
    path = table(labels / "train(single-labeled)/set_1.csv", columns, [1, 1], ["00022", 7])
    table(labels / "test(single-labeled)/set_1.csv", columns, [16372, 3])
    clips = root / "Clip/original"
    kit.put(clips / "part_1/1.mp4", clips / "part_1/00022.mp4", clips / "part_2/16372.mp4")
    kit.put(root / "Clip/clip_224x224/00022/00022_00001.jpg")
    return Made([str(root)], path, 3)
