"""A file that somebody sent to the page or to the server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from affect_mllm.types import DataError

if TYPE_CHECKING:
    from affect_mllm.media.container import MediaInfo

MIB = 2**20


def looked_into(path: Path, most_s: float) -> MediaInfo:
    """What the file holds. DataError for what is no media, or lasts longer than `most_s` seconds.

    Nothing but a video's first frame is decoded: live recordings do not say how long they are, and
    others may say less than there is, but their packets have times.
    """
    from affect_mllm.media.container import end_of_packets
    from affect_mllm.media.video import probe

    found = probe(path)
    if found.kind != "image":
        length_s = max(found.duration_s or 0.0, end_of_packets(path))
        if length_s > most_s:
            fix = "cut it, or start with a higher --max-seconds"
            expected = f"at most {most_s:g} s"
            raise DataError(str(path), f"{length_s:.1f} s", expected=expected, fix=fix)
    return found
