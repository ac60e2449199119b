"""emodb: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made


def make(root: Path, kit: Kit) -> Made:
    kit.put(root / "wav/03a01Fa.wav", root / "wav/08b10Wb.wav", root / "wav/16a05Nc.wav")
    return Made([str(root)], root / "wav/03a01Xa.wav", 3, named=True)
