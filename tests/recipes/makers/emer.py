"""emer: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, table


def make(root: Path, kit: Kit) -> Made:
    kit.put(root / "clips/train/sample_1.mp4", root / "clips/test1/sample_2.mp4")
    reasons = [["sample_1", "他笑。", 'He smiles, and says: "Good."'], ["sample_2", "哭", "Tears."]]
    path = root / "annotations/dataset-v2/final-EMER-reason.csv"
    table(path, ["name", "chinese", "english"], *reasons)
    return Made([str(path.parents[1]), "--media-root", str(root / "clips")], path, 2)
