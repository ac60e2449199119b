"""mmmu: a few rows as VLMEvalKit ships them, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.embedded import OPTIONS, made
from tests.recipes.kit import Kit, Made


def make(root: Path, kit: Kit) -> Made:
    row = {"question": "Which is it? <image 1>", "category": "Biology", "split": "validation"}
    rows = [row | OPTIONS | {"answer": "B"}, row | {"answer": "['12', 'twelve']"}]
    return made(root, kit, rows, counted=False)
