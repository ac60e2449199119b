"""docs/extend.md is followed to the letter: its files, its commands, no other edit."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/extend.md").read_text(encoding="utf-8")
FILE = re.compile(r"^`((?:affect_mllm|conf)/[\w/.]+)`:\n\n```\w+\n(.*?)^```$", re.M | re.S)
COMMAND = re.compile(r"^```bash\n(.+?)\n```$", re.M | re.S)


@pytest.fixture(scope="module")
def followed(tmp_path_factory) -> Path:
    """A copy of the project with the page's files in it."""
    copy = tmp_path_factory.mktemp("extended")
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("affect_mllm", "conf", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "train.py"):
        shutil.copy(ROOT / name, copy)
    files = dict(FILE.findall(PAGE))
    assert {Path(name).suffix for name in files} == {".py", ".yaml"}
    assert len(files) == 2
    for name, text in files.items():
        assert not (copy / name).exists(), "the page's example is part of the project already"
        (copy / name).write_text(text, encoding="utf-8")
    return copy


def run(copy: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def commands() -> list[list[str]]:
    return [shlex.split(text) for text in COMMAND.findall(PAGE)]


def test_the_contract_tests_pick_the_encoder_up_and_it_holds(followed: Path) -> None:
    (line,) = [words for words in commands() if words[0] == "pytest"]
    done = run(followed, "-m", *line, "-rA")
    passed = re.findall(r"^PASSED (\S+)", done.stdout, re.M)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    for contract in ("test_encoders.py", "test_config.py"):
        assert any(contract in name and "mel_conv" in name for name in passed)
    assert len(passed) >= 6


def test_the_experiment_with_it_checks(followed: Path) -> None:
    (line,) = [words for words in commands() if words[0] == "python"]
    assert line[1] == "train.py"
    code = (
        "import sys; from affect_mllm import config\n"
        "cfg = config.checked(config.compose('train', sys.argv[1:]))\n"
        "print(cfg.model.encoders.audio._target_, cfg.stages.align.trainable.audio.match)"
    )
    done = run(followed, "-c", code, *line[2:])
    assert done.returncode == 0, done.stderr[-2000:]
    assert "mel_conv.MelConv" in done.stdout
    assert r"encoders\.audio" in done.stdout
