"""cmu_mosi: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made
from tests.recipes.mmsa import mmsa


def make(root: Path, kit: Kit) -> Made:
    path = root / "label.csv"
    mmsa(
        path,
        kit,
        ["-dI_x", 1, "I LIKED IT", 2.4, "", "", "", "Positive", "train"],
        ["-dI_x", 2, "NOT THE END", -0.6, "", "", "", "Negative", "train"],
        ["03b", 10, "IT IS A FILM", 0.0, "", "", "", "Neutral", "valid"],
        ["1DmN", 1, "AWFUL, AWFUL", -3, "", "", "", "Negative", "test"],
    )
    return Made([str(root)], path, 4)
