"""What a user sees on stderr is ours: a dependency's unasked word at its import is not there."""

from __future__ import annotations

import subprocess
import sys

SAY = """
import logging, sys
import affect_mllm
import peft
import deepspeed
logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
logger.warning("Failed to load CPU gemm_4bit_forward from kernels-community: %s", "as it is said")
logger.warning("and something else")
"""


def test_they_are_imported_without_a_word_and_other_warnings_come() -> None:
    command = [sys.executable, "-c", SAY]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    assert done.stderr == "and something else\n"
