"""emoset: a few rows in the publisher's own format, made up."""

from __future__ import annotations

import json
from pathlib import Path

from tests.recipes.kit import Kit, Made, write


def make(root: Path, kit: Kit) -> Made:
    for split, emotion in (("train", "awe"), ("val", "fear"), ("test", "anger")):
        name = f"{emotion}_00001"
        image, annotation = f"image/{emotion}/{name}.jpg", f"annotation/{emotion}/{name}.json"
        path = write(root / f"{split}.json", json.dumps([[emotion, name, image, annotation]]))
        kit.put(root / image)
    write(
        root / "annotation/awe/awe_00001.json",
        json.dumps(
            {"image_id": "awe_00001", "scene": "sky", "object": ["Tree"], "brightness": 0.3}
        ),
    )
    return Made([str(root)], path, 3)
