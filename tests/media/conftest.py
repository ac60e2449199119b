"""Fixtures of the media tests."""

from __future__ import annotations

import os
import re
from pathlib import Path

import av
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


@pytest.fixture(scope="session")
def ffmpeg_of_pyav(tmp_path_factory) -> str:
    """PyAV's own FFmpeg under the names that other programs look for: a library path."""
    bundled = Path(av.__file__).parent.parent / "av.libs"
    if not bundled.is_dir():
        return os.environ.get("LD_LIBRARY_PATH", "")  # PyAV was built on the system's FFmpeg
    folder = tmp_path_factory.mktemp("libraries")
    for file in bundled.iterdir():
        (folder / file.name).symlink_to(file)
        plain = re.match(r"(lib(?:av|sw)\w+)-\w+\.so\.(\d+)", file.name)
        if plain:
            (folder / f"{plain[1]}.so.{plain[2]}").symlink_to(file)
    return f"{folder}:{bundled}"
