"""cmu_mosei: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, table, write
from tests.recipes.mmsa import COLUMNS


def make(root: Path, kit: Kit) -> Made:
    path = table(
        root / "label.csv",
        COLUMNS,
        ["-3g5y", 1, "I see that", 1.0, "", "", "", "Positive", "train"],
        ["-3g5y", 0, "Umm", 0.0, "", "", "", "Neutral", "train"],
        ["0K7d", 3, "which is bad", -2.333, "", "", "", "Negative", "test"],
    )
    kit.put(root / "Videos/Full/Combined/-3g5y.mp4", root / "Videos/Full/Combined/0K7d.mp4")
    texts = root / "Transcript/Segmented/Combined"
    write(texts / "-3g5y.txt", "-3g5y___0___0.0___0.1___Umm\n-3g5y___1___0.1___0.2___I see___it\n")
    write(texts / "0K7d.txt", "\n0K7d___3___0.05___0.22___which is bad\n")
    return Made([str(root)], path, 3)
