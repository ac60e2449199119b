"""The build step that pyproject.toml cannot state: what else goes into the wheel."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

DATA = {"conf": (), "data_recipes": (), "docs": ("images", "*.json", "*.css")}  # what stays out


class BuildWithData(build_py):
    """Copies each of DATA to affect_mllm/; an editable install reads them where they lie."""

    def run(self) -> None:
        """Build as usual, then put fresh copies beside the package's modules."""
        super().run()
        if not self.editable_mode:
            for name, out in DATA.items():
                target = Path(self.build_lib) / "affect_mllm" / name
                shutil.rmtree(target, ignore_errors=True)
                left_out = shutil.ignore_patterns("__pycache__", *out)
                shutil.copytree(Path(__file__).parent / name, target, ignore=left_out)


setup(cmdclass={"build_py": BuildWithData})
