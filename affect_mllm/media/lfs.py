"""Pointers of git-lfs: the short texts that a clone without it has in the place of its files."""

from __future__ import annotations

from pathlib import Path

BEGINS = b"version https://git-lfs.github.com/spec/"
MOST_BYTES = 1024  # the specification's limit
IS_POINTER = "a pointer of git-lfs, not the file itself"
PULL = "run `git lfs pull` where it was cloned"


def is_pointer(path: Path, size: int) -> bool:
    """Whether the file of `size` bytes is one (git-lfs, docs/spec.md). Raises OSError."""
    if not 0 < size < MOST_BYTES:
        return False
    with path.open("rb") as file:
        return file.read(len(BEGINS)) == BEGINS
