"""mm_vet: a few rows as VLMEvalKit ships them, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.embedded import made
from tests.recipes.kit import Kit, Made


def make(root: Path, kit: Kit) -> Made:
    row = {"question": "What is funny?", "answer": "a cat <AND> a hat", "category": "rec,know"}
    return made(root, kit, [row, row | {"category": "ocr"}])
