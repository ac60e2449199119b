"""A tiny checkpoint whose answers depend on the clip, on disk and loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

import affect_mllm
from affect_mllm.tools.pipeline import Pipeline
from tests.tools.exports import checkpoint


@pytest.fixture(scope="session")
def folder(tiny, tmp_path_factory) -> Path:
    """A checkpoint that is not at its neutral start, so that clips make a difference."""
    made: Path = checkpoint(tmp_path_factory.mktemp("loaded") / "final", tiny.cfg)
    return made


@pytest.fixture(scope="session")
def model(folder: Path) -> Pipeline:
    return affect_mllm.load(str(folder), device="cpu")
