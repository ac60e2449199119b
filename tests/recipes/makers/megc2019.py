"""megc2019: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, write


def make(root: Path, kit: Kit) -> Made:
    places = [
        "CASME2/Cropped/sub01/EP02_01f",
        "SAMM/006/006_1_2",
        "SMIC/s01/micro/negative/s01_ne_01",
    ]
    kit.put(*(root / place / f"{at}.jpg" for place in places for at in range(2)))
    rows = ["casme2,sub01,EP02_01f,1", "samm,006,006_1_2,2", "smic,s01,s01_ne_01,0"]
    path = write(root / "combined_3class_gt.csv", "\n".join(rows) + "\n")
    return Made([str(root)], path, 3)
