"""The tables of docs/ that a script makes from conf/ are as it makes them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def tables(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(root / "scripts/tables.py"), *options], capture_output=True, text=True
    )


def test_the_tables_of_the_documentation_are_those_of_the_configuration() -> None:
    done = tables(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_table_that_differs_is_named_and_written_anew(tmp_path: Path) -> None:
    page = tmp_path / "docs/evaluation.md"
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    right = page.read_text(encoding="utf-8")
    page.write_text(right.replace("| `dfew` | closed_label |", "| `dfew` | sentiment |"))
    done = tables(tmp_path)
    assert done.returncode == 1
    assert "docs/evaluation.md" in done.stdout
    assert tables(tmp_path, "--write").returncode == 0
    assert page.read_text(encoding="utf-8") == right
