"""The build step that pyproject.toml cannot state: conf/ and data_recipes/ go into the wheel."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

DATA = ("conf", "data_recipes")


class BuildWithData(build_py):
    """Copies each of DATA to affect_mllm/; an editable install reads them where they lie."""

    def run(self) -> None:
        """Build as usual, then put fresh copies beside the package's modules."""
        super().run()
        if not self.editable_mode:
            for name in DATA:
                target = Path(self.build_lib) / "affect_mllm" / name
                shutil.rmtree(target, ignore_errors=True)
                left_out = shutil.ignore_patterns("__pycache__")
                shutil.copytree(Path(__file__).parent / name, target, ignore=left_out)


setup(cmdclass={"build_py": BuildWithData})
