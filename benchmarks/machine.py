"""Which machine and which version of the project numbers are of."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def described() -> str:
    """Processor, cores that this process may use, memory, GPUs, Python and torch in a line."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    parts = [_processor(), f"{cores} cores", f"{memory_gib:.0f} GiB", *_gpus()]
    torch = importlib.metadata.version("torch")
    return ", ".join([*parts, f"Python {platform.python_version()}", f"torch {torch}"])


def revision(root: Path = ROOT) -> str:
    """The commit that is checked out; `unknown` without git."""
    return _git(root, "rev-parse", "--short", "HEAD").strip() or "unknown"


def changes(root: Path = ROOT, but: Sequence[str] = ()) -> list[str]:
    """The files below `root` that differ from the commit, new ones too, without those in `but`."""
    left = [f":(exclude){path}" for path in but]
    said = _git(root, "status", "--porcelain", "--no-renames", "--", ".", *left)
    return [line[3:] for line in said.splitlines()]


def _git(root: Path, *words: str) -> str:
    command = ["git", *words]
    try:
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:  # git is not installed
        return ""


def has_cuda() -> bool:
    """Whether torch sees a CUDA device."""
    import torch

    return torch.cuda.is_available()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _gpus() -> list[str]:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [f"{count} × {torch.cuda.get_device_name()}"] if count else []
