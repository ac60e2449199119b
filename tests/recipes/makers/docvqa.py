"""docvqa: a few rows as VLMEvalKit ships them, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.embedded import made
from tests.recipes.kit import Kit, Made


def make(root: Path, kit: Kit) -> Made:
    row = {"question": "What is the date?", "answer": ["1 May 1999", "May 1, 1999"]}
    return made(root, kit, [row, row | {"answer": "['12']"}])
