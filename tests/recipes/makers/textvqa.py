"""textvqa: a few rows as VLMEvalKit ships them, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.embedded import made
from tests.recipes.kit import Kit, Made


def make(root: Path, kit: Kit) -> Made:
    row = {"question": "What does the sign say?", "answer": ["stop"] * 10}
    return made(root, kit, [row, row | {"answer": ["go"] * 9 + ["to go"]}])
