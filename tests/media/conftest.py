"""Fixtures of the media tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.media import clips


@pytest.fixture(scope="session")
def clip_dir(tmp_path_factory) -> Path:
    """v.{mp4,webm,avi,mkv} (2 s, 50 frames, stereo), s.{wav,flac,mp3} and i.{jpg,png}."""
    folder = tmp_path_factory.mktemp("clips")
    for suffix in clips.VIDEO_CODECS:
        clips.make_video(folder / f"v{suffix}", sound_s=2.0)
    for suffix in (".wav", ".flac", ".mp3"):
        clips.make_sound(folder / f"s{suffix}")
    for suffix in (".jpg", ".png"):
        clips.make_image(folder / f"i{suffix}")
    return folder
