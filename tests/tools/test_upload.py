"""A file that somebody sent, looked into by the page and by the server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from affect_mllm.media import still
from affect_mllm.tools.page.bounds import Bounds as PageBounds
from affect_mllm.tools.serve.body import AudioPart, VideoPart
from affect_mllm.tools.serve.bounds import Bounds as ServerBounds
from affect_mllm.tools.serve.media import written
from affect_mllm.types import DataError
from tests.media import clips
from tests.tools.serve.served import data_url

Room = Callable[[Path, float], object]


def on_the_page(path: Path, most_s: float) -> None:
    PageBounds(seconds=most_s).check(path)


def at_the_server(path: Path, most_s: float) -> None:
    url = data_url(path, f"video/{path.suffix[1:]}")
    sound = {"type": "audio_url", "audio_url": url}
    clip = {"type": "video_url", "video_url": url}
    is_sound = path.suffix == ".webm"
    part = AudioPart.model_validate(sound) if is_sound else VideoPart.model_validate(clip)
    written(part, "part", path.parent, ServerBounds(clip_s=most_s))


@pytest.fixture(params=[on_the_page, at_the_server])
def room(request: pytest.FixtureRequest) -> Room:
    return request.param


def test_a_sound_whose_header_does_not_say_its_length_is_measured(
    room: Room, tmp_path: Path
) -> None:
    """As browsers record: a live WebM of Opus."""
    path = tmp_path / "recorded.webm"
    with av.open(str(path), "w", options={"live": "1"}) as container:
        stream = container.add_stream("libopus", rate=48000, layout="stereo")
        container.start_encoding()
        clips.encode_sound(container, stream, clips.tones(2.5, 48000))
    with av.open(str(path)) as container:
        assert container.duration is None
    room(path, 2.6)
    with pytest.raises(DataError, match=r"at most 2 s(.|\n)*--max-seconds"):
        room(path, 2.0)


def test_a_video_of_too_many_pixels_is_refused(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clips.make_video(tmp_path / "clip.mp4", frames=5)
    room(path, 1.0)
    monkeypatch.setattr(still, "MOST_PIXELS", 64 * 48 - 1)
    with pytest.raises(DataError, match="64 × 48 pixels"):
        room(path, 1.0)
