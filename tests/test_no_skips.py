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


IN = "def test_it():\n    "
WHOLE = "pytest.importorskip('no_such_package', reason='not today')"  # skips the file


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["alone", "xdist"])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (f"{IN}pass", 0),
        (f"{IN}pytest.skip('not today')", 1),
        (f"{WHOLE}\n{IN}pass", 1),
        (f"{IN}pytest.xfail('known')", 0),
        (f"{IN}pytest.skip('AFFECT_REFERENCE_DIR is not set')", 0),
        (f"{IN}assert False", 1),
    ],
)
def test_only_skips_without_an_excuse_fail(
    tmp_path: Path, body: str, code: int, workers: list[str]
) -> None:
    (tmp_path / "test_it.py").write_text(f"import pytest\n{body}\n")
    (tmp_path / "test_other.py").write_text("def test_other():\n    pass\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    environment.pop("AFFECT_REFERENCE_DIR", None)
    options = ["-p", "tests.no_skips", "-p", "no:cacheprovider", *workers]
    command = [sys.executable, "-m", "pytest", *options]
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
