"""chartqa: a few rows as VLMEvalKit ships them, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.embedded import made
from tests.recipes.kit import Kit, Made


def make(root: Path, kit: Kit) -> Made:
    row = {"question": "What is the value?", "answer": "14.5", "split": "test_human"}
    return made(root, kit, [row, row | {"answer": "Blue", "split": "test_augmented"}])
