"""What a user sees on stderr is ours: a dependency's unasked word at its import is not there."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from affect_mllm import log

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


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_takes_its_time_is_said_on_a_terminal_until_it_is_done(monkeypatch) -> None:
    """A message that comes meanwhile has a line of its own above."""
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    for name, value in (("handlers", []), ("propagate", False), ("level", 0)):
        monkeypatch.setattr(log.LOGGER, name, value)
    log.setup()
    with log.working("loading A"):
        log.LOGGER.warning("no face")
    log.LOGGER.warning("after")
    blank = "\r\x1b[K"
    assert shown.getvalue() == f"loading A …{blank}no face\nloading A …{blank}after\n"


def test_a_pipe_and_other_ranks_are_told_nothing_of_it(monkeypatch) -> None:
    for shown, rank in ((io.StringIO(), "0"), (Terminal(), "1")):
        monkeypatch.setattr(sys, "stderr", shown)
        monkeypatch.setenv("RANK", rank)
        with log.working("loading A"):
            pass
        assert shown.getvalue() == ""


def test_what_is_longer_than_the_terminal_is_cut(monkeypatch) -> None:
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("COLUMNS", "20")
    with pytest.raises(ValueError, match="broken"), log.working("loading " + "A" * 40):
        raise ValueError("broken")
    said, blank, rest = shown.getvalue().partition("\r\x1b[K")
    assert len(said) < 20
    assert (blank, rest) == ("\r\x1b[K", ""), "taken away, though it failed"
