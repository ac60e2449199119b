"""Ranks that all refuse the same thing say it once; what one alone knows is said too."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta

import pytest

# The command line, with a subcommand that fails in the way that this rank is told.
REFUSES = """
import os, sys
from affect_mllm.tools import app
from affect_mllm.types import ConfigError
def fail(argv):
    raise ConfigError("here", argv[0])
app.Command.load = lambda self: fail
app.main(["train", sys.argv[1]])
"""


def said_by(words: Sequence[str], env: dict[str, str]) -> tuple[list[int], str]:
    """Exit codes of ranks that refuse with these words, and what all of them said."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", REFUSES, word],
            env={**os.environ, **env, "RANK": str(rank), "WORLD_SIZE": str(len(words))},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, word in enumerate(words)
    ]
    told = [process.communicate(timeout=600)[1] for process in processes]
    return [process.returncode for process in processes], "".join(told)


@pytest.mark.parametrize(
    ("words", "times"), [(("same", "same"), {"same": 1}), (("one", "two"), {"one": 1, "two": 1})]
)
def test_through_the_launchers_store_each_message_comes_once(words, times) -> None:
    from torch.distributed import TCPStore

    store = TCPStore(
        "127.0.0.1", 0, is_master=True, timeout=timedelta(seconds=60), wait_for_workers=False
    )
    env = {
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
    }
    codes, told = said_by(words, env)
    assert codes == [2, 2]
    assert "Traceback" not in told
    assert {word: told.count(f"here: {word}") for word in times} == times


def test_without_a_store_no_message_is_lost() -> None:
    nowhere = {"TORCHELASTIC_USE_AGENT_STORE": "False", "MASTER_ADDR": "127.0.0.1"}
    codes, told = said_by(["alone"], {**nowhere, "MASTER_PORT": "1"})
    assert (codes, told) == ([2], "here: alone\n")
