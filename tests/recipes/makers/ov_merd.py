"""ov_merd: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, table


def make(root: Path, kit: Kit) -> Made:
    names = ["sample_00000001", "sample_00000002"]
    kit.put(*(root / "video" / f"{name}.mp4" for name in names))
    path = root / "check-openset.csv"
    table(path, ["name", "openset"], [names[0], "['worried', 'eager']"], [names[1], "[]"])
    table(root / "subtitle_chieng.csv", ["name", "chinese", "english"], [names[0], "好", "Good."])
    return Made([str(root)], path, 2)
