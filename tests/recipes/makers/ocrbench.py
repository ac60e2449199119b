"""ocrbench: a few rows as VLMEvalKit ships them, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.embedded import made
from tests.recipes.kit import Kit, Made


def make(root: Path, kit: Kit) -> Made:
    row = {"question": "What is written?", "answer": ["CENTRE"]}
    kinds = ("Regular Text Recognition", "Key Information Extraction")
    return made(root, kit, [row | {"category": kind} for kind in kinds])
