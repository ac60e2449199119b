"""ch_sims_v2: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made
from tests.recipes.mmsa import mmsa


def make(root: Path, kit: Kit) -> Made:
    path = root / "meta.csv"
    mmsa(
        path,
        kit,
        ["aqgy3_0001", "00000", "你来了", 0.4, 0.2, 0.4, 0.6, "Positive", "train"],
        ["test1", "00003", "走吧", -0.2, -0.2, 0, 0, "Negative", "valid"],
        ["video_0001", "0001", "算了", -0.6, -0.4, -0.8, 0, "Negative", "test"],
    )
    return Made([str(root)], path, 3)
