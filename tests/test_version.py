"""The version is git's, and a copy without tags or without git is built all the same."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = ("pyproject.toml", ".git_archival.txt", ".gitattributes")


def git(folder: Path, *words: str) -> bytes:
    named = ["-c", "user.name=n", "-c", "user.email=n@localhost"]
    return subprocess.run(
        ["git", *named, *words], cwd=folder, capture_output=True, check=True
    ).stdout


def version(folder: Path) -> str:
    """What a build in `folder` would be called."""
    command = [sys.executable, "-m", "setuptools_scm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture
def repository(tree: Path) -> Path:
    git(tree, "init", "-q")
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "first")
    git(tree, "tag", "v0.7.0")
    return tree


def test_a_tag_is_the_version_and_what_comes_after_it_is_said(repository: Path) -> None:
    assert version(repository) == "0.7.0"
    git(repository, "commit", "-qm", "more", "--allow-empty")
    commit = git(repository, "rev-parse", "HEAD").decode()[:7]
    assert version(repository).startswith("0.7.1.dev1+g" + commit)


def test_a_tarball_of_a_tag_has_its_version(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    packed = git(repository, "archive", "--format=tar", "v0.7.0")
    subprocess.run(["tar", "x", "-C", tmp_path / "out"], input=packed, check=True)
    assert version(tmp_path / "out") == "0.7.0"


def test_a_shallow_clone_without_tags_has_a_version(repository: Path, tmp_path: Path) -> None:
    git(repository, "commit", "-qm", "more", "--allow-empty")
    git(tmp_path, "clone", "-q", "--depth", "1", "--no-tags", repository.as_uri(), "shallow")
    commit = git(repository, "rev-parse", "HEAD").decode()[:7]
    assert f"+g{commit}" in version(tmp_path / "shallow")


def test_a_copy_without_git_has_a_version(tree: Path) -> None:
    assert version(tree) == "0.1.dev0"
