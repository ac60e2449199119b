"""`Pipeline.stream`: an answer while it is written is what `ask` gives."""

from __future__ import annotations

from pathlib import Path

import pytest

import affect_mllm
from affect_mllm.tools.pipeline import Pipeline
from affect_mllm.types import ConfigError, DataError
from tests.tools.exports import checkpoint, settings

QUESTION = "Which emotion?"


@pytest.fixture(scope="module", params=["encoders", "encoders_pieces", "qwen2_5_vl"])
def model(request, tiny, tmp_path_factory) -> Pipeline:
    """Encoders and an LLM, byte-level or of pieces, and a native VLM."""
    folder = tmp_path_factory.mktemp(request.param)
    return affect_mllm.load(checkpoint(folder / "final", settings(tiny, folder, request.param)))


def test_the_pieces_are_the_answer(tiny, model: Pipeline) -> None:
    clip = tiny.root / "clips/c00.mp4"
    (whole,) = model.ask([clip], QUESTION, subtitle="I won!", max_new_tokens=20)
    stream = model.stream(clip, QUESTION, subtitle="I won!", max_new_tokens=20)
    pieces = list(stream)
    assert "".join(pieces) == whole.text
    assert len(pieces) > 1
    assert all(pieces)
    assert stream.answer == whole


def test_who_stops_reading_stops_the_answer(model: Pipeline) -> None:
    steps: list[int] = []
    head = model.model.llm.net.get_output_embeddings()
    hook = head.register_forward_hook(lambda *_: steps.append(1))
    stream = model.stream(None, QUESTION, subtitle="I won!", max_new_tokens=300)
    next(stream)
    stream.close()
    hook.remove()
    assert len(steps) < 300
    with pytest.raises(StopIteration):
        next(stream)


def test_what_cannot_be_asked_is_said(model: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a clip nor a subtitle"):
        model.stream(None, QUESTION)
    with pytest.raises(DataError, match=r"none\.mp4"):
        model.stream(tmp_path / "none.mp4", QUESTION)
    with pytest.raises(ConfigError, match="question"):
        next(model.stream(None, "\ud800", subtitle="I won!"))
