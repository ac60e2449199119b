"""mmmu: a few rows as VLMEvalKit ships them, made up."""

from __future__ import annotations

import base64
from pathlib import Path

from tests.recipes.embedded import OPTIONS, made
from tests.recipes.kit import Kit, Made


def make(root: Path, kit: Kit) -> Made:
    row = {"question": "Which is it? <image 1>", "category": "Biology", "split": "validation"}
    pair = [base64.b64encode(kit.picture()).decode() for _ in range(2)]
    asked = {"question": "Which is like <image 1>?", "image": str(pair), "answer": "A"}
    rows = [row | OPTIONS | {"answer": "B"}, row | {"answer": "['12', 'twelve']"},
            row | OPTIONS | {"A": "<image 2>", "B": "neither"} | asked]  # fmt: skip
    return made(root, kit, rows)
