"""Rows of what is said alone: their media were not looked for, and a model reads the words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from affect_mllm.data.placeholders import asked_for
from affect_mllm.types import DataError

Row = dict[str, Any]


def of_words(rows: Iterable[Row]) -> tuple[list[Row], str]:
    """Those that say something without their media, to train on and to ask, and a note on the rest.

    A subtitle says something, and so do messages in which no medium stands. DataError for none.
    """
    every = list(rows)
    found = [
        {key: value for key, value in row.items() if key != "labels_only"}
        for row in every
        if _speaks(row)
    ]
    if not found:
        raise DataError(
            "--words-only",
            "no row says anything without its media",
            expected="subtitles, or messages without media",
            fix="--labels-only makes rows to score answers by",
        )
    note = "words only: no media were looked for"
    if left_out := len(every) - len(found):
        note += f"; {left_out} rows that say nothing without them are left out"
    return found, note


def _speaks(row: Row) -> bool:
    turns = [turn["content"] for turn in row.get("messages", ())]
    return not asked_for(turns) and bool(turns or row.get("subtitle"))
