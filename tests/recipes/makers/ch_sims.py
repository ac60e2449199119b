"""ch_sims: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, table
from tests.recipes.mmsa import COLUMNS


def make(root: Path, kit: Kit) -> Made:
    path = table(
        root / "label.csv",
        COLUMNS,
        ["video_0001", "0001", "我不想", -0.6, -0.8, -0.2, -0.4, "Negative", "train"],
        ["video_0001", 2, "好", 0.8, 0.6, 1.0, 0.8, "Positive", "train"],
        ["video_0002", "0001", "嗯", 0.0, 0.0, 0.0, 0.0, "Neutral", "valid"],
        ["video_0003", "0012", "不行", -1, -1, -1, -1, "Negative", "test"],
    )
    for video, clip in (("1", "1"), ("1", "2"), ("2", "1"), ("3", "12")):
        kit.put(root / f"Raw/video_000{video}/{clip.zfill(4)}.mp4")
    return Made([str(root)], path, 4)
