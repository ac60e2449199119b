"""One logger and one console for the whole package, quiet on every rank but the first."""

from __future__ import annotations

import logging
import os
import sys

LOGGER = logging.getLogger("affect_mllm")
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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOGGER.addHandler(handler)
    LOGGER.propagate = False
