"""The one build step that pyproject.toml cannot state: conf/ goes into the wheel as data."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConf(build_py):
    """Copies conf/ to affect_mllm/conf; an editable install reads conf/ where it lies."""

    def run(self) -> None:
        """Build as usual, then put a fresh copy of conf/ beside the package's modules."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "affect_mllm" / "conf"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(Path(__file__).parent / "conf", target)


setup(cmdclass={"build_py": BuildWithConf})
