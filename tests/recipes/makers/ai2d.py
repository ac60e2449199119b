"""ai2d: a few rows as VLMEvalKit ships them, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.embedded import OPTIONS, made
from tests.recipes.kit import Kit, Made


def make(root: Path, kit: Kit) -> Made:
    row = {"question": "What eats grass?", "answer": "D"} | OPTIONS
    return made(root, kit, [row, row | {"answer": "A"}])
