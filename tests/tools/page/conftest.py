"""Two checkpoints that answer differently, and clips to ask them about."""

from __future__ import annotations

from pathlib import Path

import pytest

import affect_mllm
from affect_mllm.tools.pipeline import Pipeline
from tests.tools.exports import checkpoint


@pytest.fixture(scope="session")
def folder(tiny, tmp_path_factory) -> Path:
    """A checkpoint that is not at its neutral start, so that clips make a difference."""
    made: Path = checkpoint(tmp_path_factory.mktemp("page") / "final", tiny.cfg)
    return made


@pytest.fixture(scope="session")
def model(folder: Path) -> Pipeline:
    return affect_mllm.load(folder, device="cpu")


@pytest.fixture
def clip(tiny, tmp_path: Path) -> Path:
    """A copy of a video with sound, which a page may delete."""
    copy = tmp_path / "clip.mp4"
    copy.write_bytes((tiny.root / "clips/c05.mp4").read_bytes())
    return copy
