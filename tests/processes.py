"""The real commands as processes of their own: started, waited for with a deadline, killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
DEADLINE_S = 600
GLANCE_S = 0.01
GRACE_S = 40  # torchrun gives its ranks 30 s


@contextmanager
def started(arguments: Sequence[str], **env: str) -> Iterator[subprocess.Popen[str]]:
    """`python ARGUMENTS` in the repository, with as many threads as this process; never left."""
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    with running([sys.executable, *arguments], **{**threads, **env}) as process:
        yield process


@contextmanager
def running(command: Sequence[str], **env: str) -> Iterator[subprocess.Popen[str]]:
    """Any command in the repository, its stderr at hand; never left."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Ask first: a torchrun that is killed leaves its ranks behind, which hold the pipe open."""
    if process.poll() is None:
        process.terminate()
    try:
        process.communicate(timeout=GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def finished(
    arguments: Sequence[str], *, deadline_s: float = DEADLINE_S, **env: str
) -> tuple[int, str]:
    """Exit code and stderr of a process that is let run to its end."""
    with started(arguments, **env) as process:
        _, said = process.communicate(timeout=deadline_s)
        return process.returncode, said


def wait_until(process: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    """Return as soon as `happened`; fail when the process ends before, or at the deadline."""
    for _ in range(int(DEADLINE_S / GLANCE_S)):
        if happened():
            return
        try:
            process.wait(GLANCE_S)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"ended too early: {process.communicate()[1]}")
    raise AssertionError(f"nothing happened in {DEADLINE_S} s")
