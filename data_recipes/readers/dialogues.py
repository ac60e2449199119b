"""What was said in a dialogue before a turn, as the label `context` of its row."""

from __future__ import annotations

from collections.abc import Iterable

TURNS = 10  # earlier ones that a row keeps: a minute or so of talk


def earlier(before: Iterable[tuple[str, str]]) -> list[str]:
    """`SPEAKER: TEXT` of the last turns before one, from all (speaker, text) before it in order."""
    return [f"{speaker}: {text}" for speaker, text in before][-TURNS:]
