"""The wheel holds everything that the installed command reads: code, conf/, templates, lists."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy, so that no build products are left in the checkout."""
    tree = tmp_path_factory.mktemp("tree")
    for name in SOURCES:
        shutil.copy(ROOT / name, tree)
    for name in ("affect_mllm", "conf"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "."]
    done = subprocess.run(
        [*command, "--no-index", "-w", "wheels"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return next((tree / "wheels").glob("*.whl"))


def files_of(folder: str) -> set[str]:
    """The files below a folder of the checkout, as paths relative to it."""
    paths = (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return {path.relative_to(ROOT / folder).as_posix() for path in paths if path.suffix != ".pyc"}


def test_every_file_of_the_package_and_of_conf_is_in_the_wheel(wheel: Path) -> None:
    expected = {f"affect_mllm/{name}" for name in files_of("affect_mllm")}
    expected |= {f"affect_mllm/conf/{name}" for name in files_of("conf")}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == expected


def test_the_wheel_names_its_command_and_its_licence(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    meta = {Path(name).name: name for name in archive.namelist() if ".dist-info/" in name}
    points = archive.read(meta["entry_points.txt"]).decode()
    assert "affect-mllm = affect_mllm.tools.app:main" in points
    assert "Apache License" in archive.read(meta["LICENSE"]).decode()
    assert "License-Expression: Apache-2.0" in archive.read(meta["METADATA"]).decode()


def test_conf_dir_of_an_unpacked_wheel_is_its_own(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "from affect_mllm.config import conf_dir; print(conf_dir())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()) == (tmp_path / "affect_mllm" / "conf").resolve()
