"""raf_db: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, write


def make(root: Path, kit: Kit) -> Made:
    path = write(root / "EmoLabel/list_patition_label.txt", "train_00001.jpg 5\ntest_0001.jpg 4\n")
    kit.put(root / "Image/aligned/train_00001_aligned.jpg")
    kit.put(root / "Image/aligned/test_0001_aligned.jpg")
    return Made([str(root)], path, 2)
