"""mvei: a few rows in the publisher's own format, made up."""

from __future__ import annotations

import json
from pathlib import Path

from tests.recipes.kit import Kit, Made, write


def make(root: Path, kit: Kit) -> Made:
    def said(text: str, label: str, kind: str) -> dict[str, str]:
        return {"statement": text, "label": label, "class": kind, "subclass": "none"}

    kit.put(root / "images/awe/awe_1.jpg")
    statements = [
        said("Viewers feel well.", "correct", "sentiment polarity"),
        said("It is a kitchen.", "incorrect", "scene context"),
    ]
    content = [
        {"image_id": "awe/awe_1.jpg", "ov_emotion": ["Wonder"], "statement_list": statements}
    ]
    return Made([str(root)], write(root / "MVEI_metadata.json", json.dumps(content)), 2)
