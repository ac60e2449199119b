"""ov_merd_plus: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, table


def make(root: Path, kit: Kit) -> Made:
    kit.put(root / "video/sample_1.mp4", root / "video/sample_2.mp4")
    openset = [["sample_1", "['worried', 'nervous']"], ["sample_2", "[calm, content]"]]
    path = table(root / "ovlabel.csv", ["name", "openset"], *openset)
    table(root / "subtitle_eng.csv", ["name", "sentence"], ["sample_1", "Really?"])
    return Made([str(root)], path, 2)
