"""scienceqa: a few rows as VLMEvalKit ships them, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.embedded import made
from tests.recipes.kit import Kit, Made


def make(root: Path, kit: Kit) -> Made:
    row = {"question": "What is it?", "answer": "A", "A": "a dog", "B": "a cat", "hint": "Look."}
    return made(root, kit, [row, row | {"answer": "B", "hint": ""}])
