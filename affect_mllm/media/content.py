"""The content of media by hash: equal bytes are equal, whatever a file or folder is called."""

from __future__ import annotations

import hashlib
from pathlib import Path

from affect_mllm.types import DataError


def content_hash(path: Path) -> str:
    """sha256 in hex of a file's bytes, or of the names and bytes of a folder's files.

    DataError when it cannot be read.
    """
    try:
        if path.is_dir():
            digest = hashlib.sha256()
            for each in sorted(path.iterdir()):
                digest.update(f"{each.name}\0{content_hash(each)}\0".encode())
            return digest.hexdigest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(str(path), f"cannot be read: {error.strerror}") from error


def size_of(path: Path) -> int:
    """Bytes of a file, or of a folder's files together; 0 where there is none."""
    try:
        if path.is_dir():
            return sum(size_of(each) for each in path.iterdir())
        return path.stat().st_size
    except OSError:
        return 0
