"""Packing: which examples share a row."""

from __future__ import annotations

from collections.abc import Sequence


def pack(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Rows of example numbers, each at most `max_tokens` long where its examples allow it.

    First-fit decreasing; an example longer than `max_tokens` gets a row of its own.
    `max_tokens=0` gives every example its own row (padding).
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        fit = next((row for row, left in enumerate(room) if left >= lengths[number]), None)
        if fit is None:
            rows.append([number])
            room.append(max_tokens - lengths[number])
        else:
            rows[fit].append(number)
            room[fit] -= lengths[number]
    return rows
