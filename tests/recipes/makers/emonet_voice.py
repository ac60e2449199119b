"""emonet_voice: a few rows in the publisher's own format, made up."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, Made


def make(root: Path, kit: Kit) -> Made:
    import pyarrow
    import pyarrow.parquet

    sounds = [root / f"{at}.wav" for at in range(2)]
    kit.put(*sounds)
    labels = ("[{'human-1': {'Shame': 1}}, {'human-2': {'Shame': 2}}]",
              "[{'human-3': {'Emotional%20Numbness': 0}}]")  # fmt: skip
    rows = [
        {"audioId": {"bytes": sound.read_bytes(), "path": sound.name}, "label": label}
        for sound, label in zip(sounds, labels, strict=True)
    ]
    for sound in sounds:
        sound.unlink()
    path = root / "data/train-00000-of-00001.parquet"
    path.parent.mkdir()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return Made([str(root)], path, 2, unpacks=True)
