"""expllm: a few rows in the publisher's own format, made up."""

from __future__ import annotations

import json
from pathlib import Path

from tests.recipes.kit import Kit, Made, write


def make(root: Path, kit: Kit) -> Made:
    faces = {"train": ("train_00001", "Sadness"), "valid": ("test_0001", "Happiness")}
    for split, (name, emotion) in faces.items():
        item = {"file_name": f"{name}_aligned.jpg", "emo": emotion}
        path = write(root / f"rafdb_{split}.json", json.dumps([item]))
        kit.put(root / item["file_name"])
    said = {**item, "au": [0.0] * 12 + [0.4] * 2 + [0.0] * 10, "description": "The lips rise."}
    write(root / "rafdb_emo_au_val_mini_description.json", json.dumps([said]))
    return Made([str(root), "--set", "raf_db"], path, 2)
