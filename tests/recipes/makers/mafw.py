"""mafw: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made, write


def make(root: Path, kit: Kit) -> Made:
    for fold in ("1", "2"):
        folder = root / f"Train & Test Set/single/no_caption/set_{fold}"
        path = write(folder / "train.txt", "00025.mp4 anger\n00026.mp4 neutral\n")
        write(folder / "test.txt", "00151.mp4 helplessness\n")
    captions = "00025.mp4\tanger\t<br>一个男人说话。\t<br>A man speaks angrily.\n"
    captions += "00151.mp4  helplessness  <br>她叹气。 <br> She sighs.\n"
    write(root / "caption-label/single_label.txt", captions)
    kit.put(*(root / f"data/clips/{name}.mp4" for name in ("00025", "00026", "00151")))
    return Made([str(root), "--fold", "2"], path, 3)
