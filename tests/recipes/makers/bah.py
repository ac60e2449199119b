"""bah: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, write


def make(root: Path, kit: Kit) -> Made:
    folder = root / "dataset-splits/video-level/BAH_DB/split-0"
    for person, (split, label, said) in enumerate(
        [("train", 0, "Well, I get up, and go."), ("val", 1, ""), ("test", 1, "I, hm, might.")]
    ):
        video = f"Videos/8{person}/Visite_1/8{person}_Question_1_2024-10-02 16-0{person}_Video.mp4"
        kit.put(root / video)
        path = write(folder / f"{split}.txt", f"{video},{label},{said}\n")
    return Made([str(root)], path, 3)
