"""Frames of a video as uint8 RGB arrays; what a media file holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt

from affect_mllm.media.container import (
    MediaInfo,
    check_in_clip,
    is_image_format,
    is_still,
    need_decoder,
    need_video,
    opened,
    stream_end,
    video_stream,
)
from affect_mllm.media.motion import of_video
from affect_mllm.media.orientation import display_matrix, swaps_sides
from affect_mllm.media.packets import decoded
from affect_mllm.media.sampling import Sampling
from affect_mllm.media.still import check_pixels, read_image
from affect_mllm.media.timeline import Timeline, read_timeline
from affect_mllm.types import ConfigError, DataError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["Backend", "Frames", "MediaInfo", "Sampling", "probe", "read_frames", "read_image"]

Backend = Literal["auto", "pyav", "torchcodec", "decord"]


@dataclass(frozen=True)
class Frames:
    """`images` uint8 [T, H, W, 3] RGB; `times_s` float64 [T], seconds from the file's beginning."""

    images: npt.NDArray[np.uint8]
    times_s: npt.NDArray[np.float64]


def read_frames(
    path: str | Path,
    sampling: Sampling,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    peak_s: float | None = None,
    backend: Backend = "auto",
) -> Frames:
    """Frames of the window start_s to end_s of a video, chosen by `sampling` (`peak_s` for peak).

    Returns uint8 [T, H, W, 3] RGB, upright (rotation metadata applied; pixels taken as square),
    and the second at which each frame appears, counted from the file's beginning whatever the
    window is. Which frames are taken is decided from the packets' time stamps, by the same code
    for every backend; a backend only decodes them. `auto` is PyAV: it is always installed and
    brings its own FFmpeg, so that results do not depend on what else a machine has.
    DataError: not a readable video, truncated, a window outside the clip, a backend not installed.
    """
    path = Path(path)
    check_backend(backend)
    timeline, window = looked_at(path, start_s, end_s)
    ranks = sampling.ranks(
        timeline.times_s, window, peak_s=peak_s, motion=lambda: of_video(path, timeline)
    )
    unique, inverse = np.unique(ranks, return_inverse=True)
    images = _decode(path, timeline, [int(i) for i in unique], backend=backend)
    if len(unique) != len(ranks):
        images = images[inverse]
    return Frames(images, timeline.times_s[ranks])


def check_frames(path: Path, *, start_s: float | None = None, end_s: float | None = None) -> None:
    """Decode every frame that `read_frames` could choose, in its way. Raises the same DataError."""
    from affect_mllm.media.backends.pyav import frames_of

    timeline, window = looked_at(path, start_s, end_s)
    first, last = Sampling.shown(timeline.times_s, np.array([window[0], window[1]]))
    for _ in frames_of(path, timeline, range(int(first), int(last) + 1)):
        pass


def looked_at(
    path: Path, start_s: float | None, end_s: float | None
) -> tuple[Timeline, tuple[float, float]]:
    """The frames of the window, and when it begins and ends, in seconds. DataError."""
    if start_s is not None or end_s is not None:
        check_in_clip(path, start_s, end_s)
    timeline = read_timeline(path, start_s, end_s)
    begin = max(start_s or 0.0, float(timeline.times_s[0]))
    end = timeline.end_s if end_s is None else min(end_s, timeline.end_s)
    if end <= begin:
        raise DataError(
            str(path),
            f"no frame between {begin:g} and {end:g} s",
            expected=f"a window before the video's end at {timeline.end_s:.3f} s",
            fix="correct start_s and end_s",
        )
    return timeline, (begin, end)


def check_backend(backend: str) -> None:
    """ConfigError unless `backend` is one of the names that exist."""
    if backend not in get_args(Backend):
        raise ConfigError("backend", repr(backend), expected=", ".join(get_args(Backend)))


def _decode(
    path: Path, timeline: Timeline, ranks: list[int], *, backend: Backend
) -> npt.NDArray[np.uint8]:
    if backend == "torchcodec":
        from affect_mllm.media.backends.torchcodec import decode_frames
    elif backend == "decord":
        from affect_mllm.media.backends.decord import decode_frames
    else:
        from affect_mllm.media.backends.pyav import decode_frames
    return decode_frames(path, timeline, ranks)


def probe(path: str | Path) -> MediaInfo:
    """What the file's headers say, decoding one frame at most (for its rotation).

    DataError when the file is not media, or its pictures have too many pixels.
    """
    path = Path(path)
    with opened(path) as container:
        if is_image_format(container.format.name) or is_still(path):
            return _of_picture(path)
        video = video_stream(container)
        sound = bool(container.streams.audio)
        duration = container.duration / 1e6 if container.duration is not None else None
        if video is None and not sound:
            raise DataError(str(path), "neither video nor sound", expected="a media file")
        if video is None:
            return MediaInfo("audio", duration, False, True)
        need_decoder(video, path)
        if duration is None:
            duration = stream_end(container, video) or read_timeline(path, None, None).end_s
        fps = float(video.average_rate) if video.average_rate else None
        height, width = _shown_size(path, container, video)
        return MediaInfo("video", duration, True, sound, width, height, fps)


def frame_size(path: Path) -> tuple[int, int]:
    """Height and width of a video's frames as displayed; the first one is decoded. DataError."""
    with opened(path) as container:
        return _shown_size(path, container, need_video(container, path))


def _shown_size(path: Path, container: InputContainer, stream: VideoStream) -> tuple[int, int]:
    width, height = stream.codec_context.width, stream.codec_context.height
    check_pixels(path, width, height)
    first = next(decoded(container, stream), None)
    if first is not None:
        width, height = first.width, first.height
        if swaps_sides(display_matrix(first)):
            return width, height
    return height, width


def _of_picture(path: Path) -> MediaInfo:
    height, width = read_image(path).shape[:2]
    return MediaInfo("image", None, False, False, width, height)
