"""Runs a benchmark's script in another version of this repository, for ratios to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def numbers_at(revision: str, script: Path, *options: str, text: Callable[[Path], str]) -> Any:
    """What `python SCRIPT --json OPTIONS` prints there, in a worktree that is removed again.

    `text` gives the script as that version can run it, from the worktree's folder.
    """
    with tree_of(revision) as tree:
        there = tree / "benchmarks" / script.name
        there.write_text(text(tree), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(there), "--json", *options],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
            check=True,
            capture_output=True,
            text=True,
        )
    return json.loads(done.stdout)


@contextmanager
def tree_of(revision: str) -> Iterator[Path]:
    """A folder with that version's files, a worktree that is removed again."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", "-q", str(tree), revision], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)
