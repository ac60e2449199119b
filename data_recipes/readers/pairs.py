"""Pairs of texts of which one is preferred: what can be had without looking at anything else."""

from __future__ import annotations

from collections.abc import Sequence


def longer_wins(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """A note on how often the first, the preferred, is the longer one; a tie is a half."""
    if not pairs:
        return []
    longer = sum((len(a) > len(b)) + (len(a) == len(b)) / 2 for a, b in pairs)
    return [
        f"taking the longer text (in characters) names the preferred one in {longer:g} of "
        f"{len(pairs)} pairs ({longer / len(pairs):.3f}): read every accuracy beside it"
    ]
