"""Every backend gives PyAV's frames, frame by frame, or refuses the file by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from affect_mllm.media import packets
from affect_mllm.media.backends import pyav
from affect_mllm.media.backends.trust import check_times
from affect_mllm.media.timeline import read_timeline
from affect_mllm.media.video import Sampling, read_frames
from affect_mllm.types import DataError
from tests.media import clips, streams
from tests.media.backends import BACKENDS, compare, plainly

OPEN = {"g": "12", "bf": "3", "x264-params": "open-gop=1"}


def tracks(path: Path) -> Path:
    """A larger picture in the second track, which others take for the better one."""
    small = streams.encode(path.with_name("small.mp4"), "libx264")
    large = clips.make_video(path.with_name("large.mp4"), frames=60, size=(320, 240))
    return streams.copied(path, small, large)


def mirrored(path: Path) -> Path:
    return clips.display(streams.encode(path, "libx264"), (-1, 0, 0, 1))


def turned(path: Path) -> Path:
    return clips.rotate_metadata(streams.encode(path, "libx264"), clockwise=90)


# How each is made, and which backends besides PyAV give its frames.
FILES: dict[str, tuple[Callable[[Path], Path], set[str]]] = {
    "open.mp4": (lambda p: streams.encode(p, "libx264", options=OPEN), {"torchcodec", "decord"}),
    "open.mkv": (lambda p: streams.encode(p, "libx264", options=OPEN), {"torchcodec", "decord"}),
    "vp8.webm": (lambda p: streams.encode(p, "libvpx"), {"torchcodec", "decord"}),
    "vp9.webm": (lambda p: streams.encode(p, "libvpx-vp9"), {"torchcodec", "decord"}),
    "asp.mp4": (
        lambda p: streams.encode(p, "mpeg4", options={"g": "12", "bf": "2"}),
        {"torchcodec", "decord"},
    ),
    "turned.mp4": (turned, {"torchcodec", "decord"}),
    "hevc.mp4": (lambda p: streams.encode(p, "libx265"), {"torchcodec", "decord"}),
    "av1.mp4": (lambda p: streams.encode(p, "libsvtav1"), {"torchcodec"}),
    "tracks.mp4": (tracks, {"torchcodec"}),
    "hidden8.webm": (lambda p: streams.hidden_frames(p, "libvpx"), {"torchcodec"}),
    "hidden9.webm": (lambda p: streams.hidden_frames(p, "libvpx-vp9"), {"torchcodec"}),
    "mirrored.mp4": (mirrored, set()),
    "v.avi": (lambda p: streams.encode(p, "mpeg4"), set()),
    # These torchcodec may give or not; what it says of them is compared.
    "v.ts": (lambda p: streams.encode(p, "libx264", options=OPEN), set()),
    "hevc.ts": (lambda p: streams.encode(p, "libx265"), set()),
    "v.mpg": (lambda p: streams.encode(p, "mpeg2video"), set()),
    "v.mxf": (lambda p: streams.encode(p, "mpeg2video", options={"g": "12", "bf": "2"}), set()),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("streams")
    return {name: make(folder / name) for name, (make, _) in FILES.items()}


@pytest.fixture(scope="module")
def found(made, ffmpeg_of_pyav) -> dict[str, dict[str, str]]:
    return compare([*made.values()], ffmpeg_of_pyav)


@pytest.mark.parametrize("name", FILES)
def test_right_or_refused(found, name) -> None:
    for backend in BACKENDS:
        for part in ("", " part"):
            said = found[name][backend + part]
            if backend == "pyav" or backend in FILES[name][1]:
                assert said == "right", backend + part
            else:
                assert said == "right" or said.startswith(f"refused: {backend} cannot decode it")


@pytest.mark.parametrize("name", ["hidden8.webm", "hidden9.webm"])
def test_frames_that_are_never_shown_are_not_counted(made, name) -> None:
    times = np.delete(np.arange(streams.COUNT), streams.HIDDEN) / clips.FPS
    np.testing.assert_allclose(read_timeline(made[name], None, None).times_s, times, atol=1e-3)
    found = read_frames(made[name], Sampling(frames=1), start_s=0.46, end_s=0.5)
    np.testing.assert_allclose(found.times_s, [0.44], atol=1e-3)  # what is still on the screen


def test_a_superframe_shows_what_its_last_frame_shows() -> None:
    hidden, shown = bytes([0b10000100, 1, 2]), bytes([0b10000110, 3])
    for frames, shows in (((hidden, shown), True), ((hidden, hidden), False), ((hidden,), False)):
        marker = bytes([0b11000000 | len(frames) - 1])
        data = b"".join(frames) + marker + bytes(map(len, frames)) + marker
        assert packets.vp9_shows(data) is shows
    assert packets.vp9_shows(shown)
    assert packets.vp9_shows(bytes([0b10001000]))  # shows an older frame again


def test_what_a_seek_would_smear_is_decoded_from_the_beginning(tmp_path, monkeypatch) -> None:
    path = streams.of_old_x264(tmp_path / "old.mp4")
    truth = [image for _, image in plainly(path)]
    monkeypatch.setattr(pyav, "from_the_beginning", lambda _: False)
    smeared = read_frames(path, Sampling(frames=4), start_s=1.5)
    monkeypatch.undo()
    found = read_frames(path, Sampling(frames=4), start_s=1.5)
    ranks = np.round(found.times_s * clips.FPS).astype(int)
    np.testing.assert_array_equal(found.images[:, ::4, ::4], np.stack([truth[i] for i in ranks]))
    assert np.abs(smeared.images.astype(int) - found.images).mean() > 8
    with pytest.raises(DataError, match=r"decord cannot decode it \(it seeks"):
        read_frames(path, Sampling(frames=4), backend="decord")


def test_a_backend_that_gives_another_frame_than_asked_is_refused() -> None:
    times = np.array([0.0, 0.04, 0.08])
    check_times("torchcodec", Path("v.mp4"), times + 0.001, times)
    with pytest.raises(DataError, match=r"gives the frame of 0\.080 s for that of 0\.040 s"):
        check_times("torchcodec", Path("v.mp4"), np.array([0.0, 0.08, 0.08]), times)
