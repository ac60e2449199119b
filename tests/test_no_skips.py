"""The plugin of .ci/run fails a run with a skip that has no excuse, and no other run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.hosts import lacks
from tests.no_skips import excused

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("pass", 0),
        ("pytest.skip('not today')", 1),
        ("pytest.xfail('known')", 0),
        ("pytest.skip('AFFECT_REFERENCE_DIR is not set')", 0),
        ("assert False", 1),
    ],
)
def test_only_skips_without_an_excuse_fail(tmp_path: Path, body: str, code: int) -> None:
    (tmp_path / "test_it.py").write_text(f"import pytest\ndef test_it():\n    {body}\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    environment.pop("AFFECT_REFERENCE_DIR", None)
    command = [sys.executable, "-m", "pytest", "-p", "tests.no_skips", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout
    assert ("skipped although they can run here" in done.stdout) == ("not today" in body)


def test_an_excuse_is_checked_on_this_machine() -> None:
    cuda = torch.cuda.is_available()
    assert excused("needs CUDA") == (not cuda)
    assert excused("needs a machine without CUDA") == cuda
    assert excused("needs root: network namespaces") == (lacks() is not None)
    assert not excused("too slow")
