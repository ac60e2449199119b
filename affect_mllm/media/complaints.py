"""What FFmpeg complains of: heard where that decides, kept off the terminal elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Complaints = list[tuple[int, str, str]]  # how bad, who says it, what

_LISTENING: ContextVar[bool] = ContextVar("listening", default=False)


@contextmanager
def listening() -> Iterator[Complaints]:
    """The errors that FFmpeg logs on this thread meanwhile; complete when the block ends.

    FFmpeg has one level for the whole process: other threads must not open media meanwhile.
    """
    import av

    token = _LISTENING.set(True)
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # what the file before was blamed for counts here, too
    try:
        with av.logging.Capture() as complaints:
            yield complaints
    finally:
        _LISTENING.reset(token)
        av.logging.set_skip_repeated(True)
        av.logging.set_level(None)


def hush() -> None:
    """Keep FFmpeg's messages off the terminal, unless somebody listens."""
    import av

    if not _LISTENING.get():
        av.logging.set_level(None)
