"""What one request, and all of them together, may take of a server."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True)
class Bounds:
    """`upload_bytes` of a request's body, which comes within `upload_s` seconds, or of a file that
    is fetched from one of `hosts`; `waiting` requests at once, whatever is done with them; `parts`
    media in a request, `clip_s` seconds in each; `max_tokens` of an answer; `batch` requests are
    asked together.
    """

    upload_bytes: int = 64 * MIB
    upload_s: float = 60.0
    hosts: tuple[str, ...] = ()
    waiting: int = 64
    parts: int = 64
    clip_s: float = 600.0
    max_tokens: int = 1024
    batch: int = 8
