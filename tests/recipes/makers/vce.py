"""vce: a few rows in the publisher's own format, made up."""

from __future__ import annotations

import json
from pathlib import Path

from tests.recipes.kit import Kit, Made, write


def make(root: Path, kit: Kit) -> Made:
    from vce import EMOTIONS

    def record(name: str, top: str) -> dict[str, object]:
        rated = {each.title(): 0.5 * (each == top.lower()) for each in EMOTIONS}
        return {"emotions": rated, "file": f"videos/{name}.mp4", "topK": [top, "Awe (Or Wonder)"]}

    kit.put(root / "videos/00000.mp4", root / "videos/00001.mp4")
    train = {"00000": record("00000", "Joy")}
    path = write(root / "train_labels.json", json.dumps(train))
    write(root / "test_labels.json", json.dumps({"00001": record("00001", "Empathic Pain")}))
    return Made([str(root)], path, 2)
