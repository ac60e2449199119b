"""A clip to ask a checkpoint about on a page."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def clip(tiny, tmp_path: Path) -> Path:
    """A copy of a video with sound, which a page may delete."""
    copy = tmp_path / "clip.mp4"
    copy.write_bytes((tiny.root / "clips/c05.mp4").read_bytes())
    return copy
