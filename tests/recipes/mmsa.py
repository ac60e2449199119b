"""The form of MMSA's releases, which several fixtures have."""

from __future__ import annotations

from pathlib import Path

from tests.recipes.kit import Kit, table

COLUMNS = [
    *("video_id", "clip_id", "text", "label", "label_T", "label_A", "label_V", "annotation"),
    "mode",
]


def mmsa(path: Path, kit: Kit, *rows: list[object]) -> None:
    """The table of labels, and a clip for each row where MMSA keeps it."""
    table(path, COLUMNS, *rows, bom=True)
    for row in rows:
        kit.put(path.parent / f"Raw/{row[0]}/{row[1]}.mp4")
