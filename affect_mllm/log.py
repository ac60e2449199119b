"""One logger and one console for the whole package, quiet on every rank but the first."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LOGGER = logging.getLogger("affect_mllm")
_BLANK = "\r\x1b[K"  # to a terminal: back to the line's begin, and nothing on it
_doing: list[str] = []  # what a terminal's last line says is being done
# Loggers of dependencies and how what they say at their import begins. bitsandbytes and DeepSpeed
# are imported by peft and accelerate whenever they are there: the one misses a kernel for 4 bits on
# CPUs, the other a GPU, and each tells everybody, though hardly anybody asks for that.
UNASKED = {
    "bitsandbytes.backends.cpu.ops": "Failed to load CPU gemm_4bit_forward",
    "DeepSpeed": "Setting accelerator to CPU.",
}


def hush() -> None:
    """Drop what a dependency says unasked at its import; anything else of it still comes."""
    for name, begin in UNASKED.items():
        logging.getLogger(name).addFilter(
            lambda record, b=begin: not record.getMessage().startswith(b)
        )


def setup(*, verbose: bool = False) -> None:
    """Send the package's messages to stderr as plain lines; warnings only on other ranks."""
    main = os.environ.get("RANK", "0") == "0"
    LOGGER.setLevel((logging.DEBUG if verbose else logging.INFO) if main else logging.WARNING)
    LOGGER.handlers.clear()
    handler = _Above(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOGGER.addHandler(handler)
    LOGGER.propagate = False


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say on a terminal what takes its time, until it is done; a file or a pipe is told nothing."""
    if not sys.stderr.isatty() or os.environ.get("RANK", "0") != "0":
        yield
        return
    columns = shutil.get_terminal_size().columns
    _doing.append(f"{what[: columns - 3]} …")  # of a second line nothing would be taken away
    sys.stderr.write(_doing[-1])
    sys.stderr.flush()
    try:
        yield
    finally:
        _doing.pop()
        sys.stderr.write(_BLANK)
        sys.stderr.flush()


class _Above(logging.StreamHandler):
    """Writes messages above the line that says what is being done."""

    def emit(self, record: logging.LogRecord) -> None:
        if _doing:
            self.stream.write(_BLANK)
        super().emit(record)
        if _doing:
            self.stream.write(_doing[-1])
            self.flush()
