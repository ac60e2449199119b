"""ferv39k: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, write


def make(root: Path, kit: Kit) -> Made:
    folder = root / "4_setups/All_scenes"
    path = write(folder / "train_All.csv", "Action/Sad/0010 Sad\nDailyLife/Happy/0003 Happy\n")
    write(folder / "test_All.csv", "Action/Fear/0010 Fear\n")
    for clip in ("Action/Sad/0010", "DailyLife/Happy/0003", "Action/Fear/0010"):
        kit.put(root / f"2_ClipsforFaceCrop/{clip}/0.jpg")
    return Made([str(root)], path, 3)
