"""Imports go one way, and the light layers stay light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The face detector's network is torch; media/face.py imports it when a detector is made.
NEEDS_TORCH = {"mtcnn"}
LAYERED = """
[importlinter]
root_package = layered
[importlinter:contract:layers]
name = layers
type = layers
layers =
    layered.high
    layered.low
"""


def lint(folder: Path, config: str) -> subprocess.CompletedProcess[str]:
    """import-linter in a process of its own: it closes all logging handlers of the one it is in."""
    command = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports; "
    command += f"sys.exit(lint_imports(config_filename={config!r}, no_cache=True))"
    return subprocess.run(
        [sys.executable, "-c", command], cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_layers_are_kept() -> None:
    done = lint(ROOT, "pyproject.toml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_import_upwards_is_found(tmp_path: Path) -> None:
    package = tmp_path / "layered"
    package.mkdir()
    for name, text in (("__init__", ""), ("high", ""), ("low", "import layered.high\n")):
        (package / f"{name}.py").write_text(text)
    (tmp_path / "contract.ini").write_text(LAYERED)
    done = lint(tmp_path, "contract.ini")
    assert done.returncode == 1
    assert "layered.low -> layered.high" in done.stdout


def light_modules() -> list[str]:
    """Modules that decode, describe or score, for which nobody should have to load torch."""
    media = {each.stem for each in (ROOT / "affect_mllm/media").glob("*.py")} - NEEDS_TORCH
    names = [f"affect_mllm.media.{name}" for name in media]
    names += ["affect_mllm.data.manifest", "affect_mllm.eval.score.scoring", "affect_mllm.config"]
    return sorted(names)


def test_light_modules_do_not_import_torch() -> None:
    code = (
        "import importlib, sys\n"
        f"for name in {light_modules()!r}:\n"
        "    importlib.import_module(name)\n"
        "    assert 'torch' not in sys.modules, name\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
