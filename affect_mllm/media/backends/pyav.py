"""Decoding frames with PyAV, the backend that is always installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from affect_mllm.media.container import need_video, opened
from affect_mllm.media.orientation import display_matrix, displayed
from affect_mllm.media.packets import decoded, from_the_beginning
from affect_mllm.media.timeline import Timeline, truncated
from affect_mllm.types import DataError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


def decode_frames(path: Path, timeline: Timeline, ranks: list[int]) -> npt.NDArray[np.uint8]:
    """Frames `ranks` (ascending, unique) of `timeline`: uint8 [len(ranks), H, W, 3] RGB.

    DataError when a frame that the file lists does not decode or cannot be converted to RGB.
    """
    from av.error import FFmpegError

    found: dict[int, npt.NDArray[np.uint8]] = {}
    size: tuple[int, int] | None = None
    try:
        for rank, frame in frames_of(path, timeline, ranks):
            size = size or (frame.width, frame.height)
            found[rank] = _upright(frame, size)
    except FFmpegError as error:
        raise DataError(
            str(path),
            f"a frame that cannot be converted to RGB ({error.strerror})",
            fix="write the video again with usual pixels (ffmpeg -pix_fmt yuv420p)",
        ) from error
    return np.stack([found[rank] for rank in ranks])


def frames_of(
    path: Path, timeline: Timeline, ranks: Sequence[int]
) -> Iterator[tuple[int, VideoFrame]]:
    """Frames `ranks` (ascending, unique) of `timeline` with their ranks, in the order found.

    Decodes in one pass and seeks only where a keyframe lies between two wanted frames: measured
    faster than a seek for each frame and than decoding everything. DataError when a frame that
    the file lists does not decode.
    """
    from av.error import FFmpegError

    found: set[int] = set()
    with opened(path) as container:
        stream = need_video(container, path)
        stream.codec_context.thread_count = 1  # parallelism belongs to the loader's workers
        try:
            for rank, frame in _walk(container, stream, timeline, ranks):
                if frame.is_corrupt:
                    break
                found.add(rank)
                yield rank, frame
                if len(found) == len(ranks):
                    break
        except FFmpegError:
            pass  # a wanted frame is missing then, which is the error below
    if len(found) != len(ranks):
        raise truncated(path, total=len(timeline.pts), among=timeline)


def _walk(
    container: InputContainer, stream: VideoStream, timeline: Timeline, ranks: Sequence[int]
) -> Iterator[tuple[int, VideoFrame]]:
    """The wanted frames with their ranks, by the cheapest way; what that misses, by brute force."""
    wanted = set(ranks)
    if timeline.by_order:
        every = enumerate(decoded(container, stream))
        yield from ((rank, frame) for rank, frame in every if rank in wanted)
        return
    for rank, frame in _seeking(container, stream, timeline, ranks):
        wanted.discard(rank)
        yield rank, frame
    if wanted:  # a container whose index misleads the seek
        container.seek(0)
        of_pts = {int(timeline.pts[rank]): rank for rank in wanted}
        for frame in decoded(container, stream):
            if frame.pts in of_pts:
                yield of_pts[frame.pts], frame


def _seeking(
    container: InputContainer, stream: VideoStream, timeline: Timeline, ranks: Sequence[int]
) -> Iterator[tuple[int, VideoFrame]]:
    keys = np.flatnonzero(timeline.keyframe)
    seeks = not from_the_beginning(stream)
    frames = decoded(container, stream)
    # Rank of the last frame that was decoded; -2 makes a window of a longer file begin by a seek.
    at = -2 if _begins_later(timeline) else -1
    for rank in ranks:
        before = keys[keys <= rank]
        key = int(before[-1]) if len(before) else 0
        if seeks and key > at + 1:
            container.seek(int(timeline.pts[key]), stream=stream)
            frames = decoded(container, stream)
        target = int(timeline.pts[rank])
        for frame in frames:
            if frame.pts is not None and frame.pts >= target:
                break
        else:
            return
        at = rank
        if frame.pts == target:
            yield rank, frame
        else:
            return  # it is not where the index said


def _begins_later(timeline: Timeline) -> bool:
    return not timeline.by_order and bool(timeline.times_s[0] > 1.0)


def grey_frames(
    path: Path, timeline: Timeline, *, width: int
) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Every frame of `timeline` with its rank, grey [H, `width`] in 0..255, one at a time.

    DataError when the file ends before the timeline does.
    """
    from av.error import FFmpegError

    ranks = {int(pts): rank for rank, pts in enumerate(timeline.pts)}
    last = -1
    with opened(path) as container:
        stream = need_video(container, path)
        stream.codec_context.thread_count = 1
        if _begins_later(timeline) and not from_the_beginning(stream):
            container.seek(int(timeline.pts[0]), stream=stream)
        try:
            for number, frame in enumerate(decoded(container, stream)):
                rank = number if timeline.by_order else ranks.get(frame.pts or 0, -1)
                if last < rank < len(ranks):
                    height = max(2, round(frame.height * width / frame.width))
                    small = frame.reformat(width=width, height=height, format="gray")
                    yield rank, small.to_ndarray().astype(np.float32)
                    last = rank
                if last == len(ranks) - 1:
                    break
        except FFmpegError:
            pass
    if last != len(ranks) - 1:
        raise truncated(path, total=len(ranks), among=timeline)


def _upright(frame: VideoFrame, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """RGB [H, W, 3] as it is to be displayed; all frames at the first one's size."""
    width, height = size
    image = frame.to_ndarray(format="rgb24", width=width, height=height).astype(
        np.uint8, copy=False
    )
    return np.ascontiguousarray(displayed(image, display_matrix(frame)))
