"""sdist and wheel hold all that the installed command reads, and work where no repository is."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "train.py", "eval.py")
FOLDERS = ("affect_mllm", "conf", "data_recipes", "docs")


def ran(command: Sequence[str | Path], cwd: Path) -> str:
    """What a process prints that knows nothing of the checkout; it has to end well."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run([*command], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist, and a wheel made of it, built from a copy without git."""
    tree = tmp_path_factory.mktemp("tree")
    for name in FILES:
        shutil.copy(ROOT / name, tree)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    ran([sys.executable, "-m", "build", "--no-isolation"], tree)
    return tree / "dist"


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return next(dist.glob("*.whl"))


@dataclass(frozen=True)
class Installed:
    """The wheel in a venv of its own, the folder of its command, and one to run it in."""

    venv: Path
    bin: Path
    folder: Path

    def __call__(self, *words: str) -> str:
        return ran([self.bin / "affect-mllm", *words], self.folder)


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that makes this interpreter's packages visible, but nothing of the checkout.

    In a folder that a .pth file names, .pth files are left unread.
    """
    root = tmp_path_factory.mktemp("beside")
    (root / "packages").mkdir()
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if "affect_mllm" not in each.name:
            (root / "packages" / each.name).symlink_to(each)
    info = "beside-1.dist-info"
    files = {
        "beside.pth": f"{root / 'packages'}\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: beside\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    path = root / "beside-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def by_pip(wheel: Path, beside: Path, root: Path) -> tuple[Path, Path]:
    """Install in an empty venv; it and the folder of the command."""
    venv.create(root / "venv", with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", root / "venv/bin/python", "install"]
    ran([*pip, "--no-deps", "--no-index", beside, wheel], root)
    return root / "venv", root / "venv/bin"


def by_pipx(wheel: Path, beside: Path, root: Path) -> tuple[Path, Path]:
    """As `by_pip`; pipx reads which commands there are from the metadata of all dependencies."""
    env = {
        "PIPX_HOME": root / "home",
        "PIPX_BIN_DIR": root / "bin",
        "PIPX_MAN_DIR": root / "man",
        "PIPX_DISABLE_SHARED_LIBS_AUTO_UPGRADE": 1,
        "PIP_NO_INDEX": 1,
    }
    pipx = [
        "env",
        *(f"{name}={value}" for name, value in env.items()),
        sys.executable,
        "-m",
        "pipx",
    ]
    said = ran([*pipx, "install", "--preinstall", beside, "--pip-args=--no-deps", wheel], root)
    assert f"installed package affect-mllm {wheel.name.split('-')[1]}, " in said
    return root / "home/venvs/affect-mllm", root / "bin"


@pytest.fixture(scope="module", params=[by_pip, by_pipx])
def installed(
    request: pytest.FixtureRequest,
    wheel: Path,
    beside: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Installed:
    """Installed each way; its dependencies are those of this interpreter."""
    root = tmp_path_factory.mktemp("installed")
    (root / "elsewhere").mkdir()
    home, commands = request.param(wheel, beside, root)
    return Installed(home, commands, root / "elsewhere")


def files_of(folder: str) -> set[str]:
    """The files below a folder of the checkout, as paths relative to it."""
    paths = (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return {path.relative_to(ROOT / folder).as_posix() for path in paths if path.suffix != ".pyc"}


def test_every_file_of_the_package_its_conf_and_recipes_is_in_the_wheel(wheel: Path) -> None:
    expected = {f"affect_mllm/{name}" for name in files_of("affect_mllm")}
    for folder in ("conf", "data_recipes"):
        expected |= {f"affect_mllm/{folder}/{name}" for name in files_of(folder)}
    expected |= {f"affect_mllm/docs/{name}" for name in files_of("docs") if name.endswith(".md")}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == expected


def test_the_sdist_is_the_tree_it_was_built_from(dist: Path) -> None:
    """The wheel is built of the sdist; a checkout's scripts come with it, too."""
    archive = next(dist.glob("*.tar.gz"))
    with tarfile.open(archive) as opened:
        packed = {name.partition("/")[2] for name in opened.getnames()}
    assert packed >= {*FILES, *(f"{each}/{name}" for each in FOLDERS for name in files_of(each))}


def test_the_wheel_names_its_command_and_its_licence(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    meta = {Path(name).name: name for name in archive.namelist() if ".dist-info/" in name}
    points = archive.read(meta["entry_points.txt"]).decode()
    assert "affect-mllm = affect_mllm.tools.app:main" in points
    assert "Apache License" in archive.read(meta["LICENSE"]).decode()
    assert "License-Expression: Apache-2.0" in archive.read(meta["METADATA"]).decode()


def test_the_installed_package_is_the_wheel_and_says_its_version(
    installed: Installed, wheel: Path
) -> None:
    code = "from affect_mllm import config as c; print(c.conf_dir()); print(c.recipes_dir())"
    for folder in ran([installed.venv / "bin/python", "-c", code], installed.folder).split():
        assert Path(folder).is_relative_to(installed.venv.resolve())
    assert installed("--version").split() == ["affect-mllm", wheel.name.split("-")[1]]


def test_the_installed_command_helps(installed: Installed) -> None:
    assert " train " in installed("--help")
    assert "experiment" in installed("train", "--help")
    foot = installed("predict", "--help").split("the law:")[1]
    law = Path("".join(foot.split()))
    assert law.is_relative_to(installed.venv.resolve())
    assert "Article 5" in law.read_text(encoding="utf-8")


def test_an_installed_recipe_makes_a_manifest(installed: Installed) -> None:
    listed = installed("recipe")
    assert "crema_d" in listed
    for name in ("1001_DFA_ANG_XX", "1002_IEO_HAP_HI"):
        sound = installed.folder / f"CREMA-D/AudioWAV/{name}.wav"
        sound.parent.mkdir(parents=True, exist_ok=True)
        sound.touch()
    flags = ["--labels-only", "--allow-count-mismatch", "--out", "rows.jsonl"]
    assert "licence" in installed("recipe", "crema_d", "CREMA-D", *flags)
    rows = [json.loads(row) for row in (installed.folder / "rows.jsonl").read_text().splitlines()]
    assert [row["labels"]["emotion"] for row in rows] == ["anger", "happy"]


def tiny(installed: Installed) -> list[str]:
    """Make a tiny experiment there; the words that train it."""
    line = next(row for row in installed("tiny", "tiny").splitlines() if "affect-mllm train" in row)
    return shlex.split(line)[1:]


def test_the_installed_package_makes_weights_clips_and_yaml(installed: Installed) -> None:
    assert "audio" in installed("describe", *tiny(installed)[1:])


@pytest.mark.parametrize("installed", [by_pip], indirect=True)
def test_the_installed_package_trains(installed: Installed) -> None:
    """Two steps, of what it made itself."""
    words = tiny(installed)
    installed(*words, "stage=align", "stages.align.steps=2")
    metrics = installed.folder / "tiny/tiny_demo/align/metrics.jsonl"
    assert len(metrics.read_text().splitlines()) == 2
