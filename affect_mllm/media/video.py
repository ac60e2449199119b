"""Frames of a video and single pictures as uint8 RGB arrays; what a media file holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from affect_mllm.media import heif
from affect_mllm.media.container import (
    MediaInfo,
    check_file,
    check_window,
    is_image_format,
    is_still,
    need_decoder,
    opened,
    stream_end,
    video_stream,
)
from affect_mllm.media.motion import of_video
from affect_mllm.media.sampling import Sampling
from affect_mllm.media.timeline import Timeline, read_timeline
from affect_mllm.types import ConfigError, DataError

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
    if start_s is not None or end_s is not None:
        check_window(path, start_s, end_s, duration_s=_duration(path))
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
    ranks = sampling.ranks(
        timeline.times_s, (begin, end), peak_s=peak_s, motion=lambda: of_video(path, timeline)
    )
    unique, inverse = np.unique(ranks, return_inverse=True)
    images = _decode(path, timeline, [int(i) for i in unique], backend=backend)
    if len(unique) != len(ranks):
        images = images[inverse]
    return Frames(images, timeline.times_s[ranks])


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


def _duration(path: Path) -> float | None:
    with opened(path) as container:
        return container.duration / 1e6 if container.duration is not None else None


def probe(path: str | Path) -> MediaInfo:
    """What the file's headers say, decoding one frame at most (for its rotation).

    DataError when the file is not media.
    """
    path = Path(path)
    with opened(path) as container:
        if is_image_format(container.format.name) or is_still(path):
            height, width = read_image(path).shape[:2]
            return MediaInfo("image", None, False, False, width, height)
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
        width, height = video.codec_context.width, video.codec_context.height
        first = next(container.decode(video), None)
        if first is not None and first.rotation % 180:
            width, height = height, width
        fps = float(video.average_rate) if video.average_rate else None
        return MediaInfo("video", duration, True, sound, width, height, fps)


def read_image(path: str | Path) -> npt.NDArray[np.uint8]:
    """A picture as uint8 [H, W, 3] RGB, upright (EXIF applied), transparency on white.

    DataError when the file is not a picture or is incomplete.
    """
    from PIL import Image, ImageOps

    path = Path(path)
    check_file(path)
    heif.admit(path)
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):
                # PIL would clip 16-bit grey at 255 instead of scaling it.
                grey = (np.asarray(upright) >> 8).astype(np.uint8)
                return np.repeat(grey[:, :, None], 3, axis=2)
            if upright.has_transparency_data:
                rgba = upright.convert("RGBA")
                white = Image.new("RGBA", rgba.size, "white")
                upright = Image.alpha_composite(white, rgba)
            return np.array(upright.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            str(path),
            f"cannot be read as a picture ({str(error).splitlines()[0]})",
            expected="a complete jpg or png",
            fix="fetch it again, or give a video as `video` and sound as `audio`",
        ) from error
