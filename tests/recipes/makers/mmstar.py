"""mmstar: a few rows as VLMEvalKit ships them, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.embedded import OPTIONS, made
from tests.recipes.kit import Kit, Made


def make(root: Path, kit: Kit) -> Made:
    row = {"category": "math", "l2_category": "geometry", "answer": "B"}
    inside = {"question": "What is it?\nOptions: A: a dog, B: a cat, C: a man, D: nothing"}
    return made(root, kit, [row | {"question": "What is it?"} | OPTIONS, row | inside])
