"""Media that a player can only play with a key: named as such, not called damaged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from affect_mllm.types import DataError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.video.stream import VideoStream

# What the sample entry of an encrypted track is called (ISO/IEC 14496-12, 8.12).
ENTRIES = {"video": b"encv", "audio": b"enca"}


def refuse_encrypted(path: Path, stream: VideoStream | AudioStream) -> None:
    """DataError for a stream under Common Encryption (ISO/IEC 23001-7), in mp4 or WebM."""
    in_mp4 = stream.container.format.name.startswith("mov")
    if "enc_key_id" in stream.metadata or (in_mp4 and has_entry(path, ENTRIES[stream.type])):
        raise encrypted(path)


def encrypted(path: Path) -> DataError:
    """The error for it."""
    return DataError(
        str(path),
        "encrypted (DRM, Common Encryption)",
        expected="a file that plays without a key",
        fix="get it without DRM, or decrypt it with the key that you have",
    )


def has_entry(path: Path, *names: bytes) -> bool:
    """Whether an ISO media file's index names one of these sample entries as protected."""
    index = read_index(path)
    return index is not None and b"sinf" in index and any(name in index for name in names)


def lacks_index(path: Path) -> bool:
    """Whether it is an ISO media file without a whole index: one that was cut off."""
    with path.open("rb") as file:
        return file.read(8)[4:] == b"ftyp" and read_index(path) is None


def read_index(path: Path) -> bytes | None:
    """The moov box of an ISO media file (ISO/IEC 14496-12, 4.2), None where it is not whole."""
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if head[4:8] == b"moov":
                file.seek(at)
                return file.read(length) if length and at + length <= size else None
            at += max(length, 8)
    return None
