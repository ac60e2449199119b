"""An upload that is too large or too long is refused with the bound; others are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from affect_mllm.tools.page.bounds import Bounds
from affect_mllm.tools.upload import MIB
from affect_mllm.types import DataError
from tests.media import clips


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bounds")
    clips.make_video(folder / "video.mp4", frames=50)  # 2 s
    clips.make_sound(folder / "voice.wav", duration_s=1.5)
    clips.make_image(folder / "photo.png")
    return folder


@pytest.mark.parametrize(("name", "length_s"), [("video.mp4", 2.0), ("voice.wav", 1.5)])
def test_a_clip_may_be_as_long_as_the_bound_and_no_longer(media, name, length_s) -> None:
    Bounds(seconds=length_s + 0.05).check(media / name)
    with pytest.raises(DataError, match=r"at most 1\.\d+ s(.|\n)*--max-seconds") as caught:
        Bounds(seconds=length_s - 0.05 if length_s < 2 else 1.9).check(media / name)
    assert f"{length_s:.1f} s" in caught.value.got


def test_a_file_may_be_as_large_as_the_bound_and_no_larger(media) -> None:
    size = (media / "photo.png").stat().st_size
    Bounds(mib=size / MIB).check(media / "photo.png")
    with pytest.raises(DataError, match=r"at most .* MiB(.|\n)*--max-upload"):
        Bounds(mib=(size - 1) / MIB).check(media / "photo.png")


def test_what_is_no_media_is_refused_as_everywhere(tmp_path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    for name, why in (("text.mp4", "cannot be read"), ("empty.mp4", "an empty file")):
        with pytest.raises(DataError, match=why):
            Bounds().check(tmp_path / name)
