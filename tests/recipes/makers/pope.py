"""pope: a few rows as VLMEvalKit ships them, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.embedded import made
from tests.recipes.kit import Kit, Made


def make(root: Path, kit: Kit) -> Made:
    row = {"question": "Is there a dog in the image?", "answer": "yes"}
    rows = [row | {"category": "adversarial,popular"}, row | {"category": "random", "answer": "no"}]
    return made(root, kit, rows, counted=False)
