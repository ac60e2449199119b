"""mme: a few rows as VLMEvalKit ships them, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.embedded import made
from tests.recipes.kit import Kit, Made


def make(root: Path, kit: Kit) -> Made:
    row = {"category": "existence", "question": "Is it a dog? Please answer yes or no."}
    same = {"image": kit.picture()}
    return made(root, kit, [row | same | {"answer": "Yes"}, row | same | {"answer": "No"}])
