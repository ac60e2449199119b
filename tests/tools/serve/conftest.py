"""Files to ask a served checkpoint about, and the service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from affect_mllm.tools.pipeline import Pipeline
from affect_mllm.tools.serve.answerer import Answerer
from affect_mllm.tools.serve.bounds import Bounds
from affect_mllm.tools.serve.service import Service
from affect_mllm.tools.upload import MIB
from tests.tools.serve.served import NAME, live


@pytest.fixture(scope="session")
def files(tiny, tmp_path_factory) -> dict[str, Path]:
    """A clip with sound, one without, a sound and two pictures."""
    clips = tiny.root / "clips"
    root = tmp_path_factory.mktemp("pictures")
    for colour in ("red", "green"):
        Image.new("RGB", (96, 72), colour).save(root / f"{colour}.png")
    return {
        "clip": clips / "c00.mp4",
        "silent": clips / "c01.mp4",
        "sound": clips / "c02.wav",
        "red": root / "red.png",
        "green": root / "green.png",
    }


@pytest.fixture(scope="module")
def url(model: Pipeline) -> Iterator[str]:
    """A server that takes a MiB at most."""
    with live(Service(Answerer(model, NAME, Bounds(upload_bytes=MIB, clip_s=60.0)))) as found:
        yield found
