"""Decoding with PyAV, the backend that is always installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from affect_mllm.media.container import need_decoder, need_video, opened, start_of
from affect_mllm.media.timeline import Timeline, truncated

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

PREROLL_S = 0.5  # decoded before a window, so that lossy audio codecs have settled when it begins
# Windows that begin earlier are decoded from the file's beginning, where the place of a sample is
# counted and not taken from time stamps, which Matroska rounds to 1 ms.
SEEK_BEYOND_S = 60.0
GAP_S = 0.02  # smaller differences between time stamps and counted samples are rounding


def decode_frames(path: Path, timeline: Timeline, ranks: list[int]) -> npt.NDArray[np.uint8]:
    """Frames `ranks` (ascending, unique) of `timeline`: uint8 [len(ranks), H, W, 3] RGB.

    Decodes in one pass and seeks only where a keyframe lies between two wanted frames: measured
    faster than a seek for each frame and than decoding everything. DataError when a frame that
    the file lists does not decode.
    """
    from av.error import FFmpegError

    found: dict[int, npt.NDArray[np.uint8]] = {}
    size: tuple[int, int] | None = None
    with opened(path) as container:
        stream = need_video(container, path)
        stream.codec_context.thread_count = 1  # parallelism belongs to the loader's workers
        try:
            for rank, frame in _walk(container, stream, timeline, ranks):
                if frame.is_corrupt:
                    break
                size = size or (frame.width, frame.height)
                found[rank] = _upright(frame, size)
                if len(found) == len(ranks):
                    break
        except FFmpegError:
            pass  # a wanted frame is missing then, which is the error below
    if len(found) != len(ranks):
        raise truncated(path, len(timeline.pts))
    return np.stack([found[rank] for rank in ranks])


def _walk(
    container: InputContainer, stream: VideoStream, timeline: Timeline, ranks: list[int]
) -> Iterator[tuple[int, VideoFrame]]:
    """The wanted frames with their ranks, by the cheapest way; what that misses, by brute force."""
    wanted = set(ranks)
    if timeline.by_order:
        every = enumerate(container.decode(stream))
        yield from ((rank, frame) for rank, frame in every if rank in wanted)
        return
    for rank, frame in _seeking(container, stream, timeline, ranks):
        wanted.discard(rank)
        yield rank, frame
    if wanted:  # a container whose index misleads the seek
        container.seek(0)
        of_pts = {int(timeline.pts[rank]): rank for rank in wanted}
        for frame in container.decode(stream):
            if frame.pts in of_pts:
                yield of_pts[frame.pts], frame


def _seeking(
    container: InputContainer, stream: VideoStream, timeline: Timeline, ranks: list[int]
) -> Iterator[tuple[int, VideoFrame]]:
    keys = np.flatnonzero(timeline.keyframe)
    frames = container.decode(stream)
    # Rank of the last frame that was decoded; -2 makes a window of a longer file begin by a seek.
    at = -2 if timeline.times_s[0] > 1.0 else -1
    for rank in ranks:
        before = keys[keys <= rank]
        key = int(before[-1]) if len(before) else 0
        if key > at + 1:
            container.seek(int(timeline.pts[key]), stream=stream)
            frames = container.decode(stream)
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
        if not timeline.by_order and timeline.times_s[0] > 1.0:
            container.seek(int(timeline.pts[0]), stream=stream)
        try:
            for number, frame in enumerate(container.decode(stream)):
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
        raise truncated(path, len(ranks))


def _upright(frame: VideoFrame, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """RGB [H, W, 3] with the display rotation applied; all frames at the first one's size."""
    width, height = size
    image = frame.to_ndarray(format="rgb24", width=width, height=height).astype(
        np.uint8, copy=False
    )
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def decode_audio(
    path: Path, start_s: float | None, end_s: float | None
) -> tuple[npt.NDArray[np.float32], int, float]:
    """Sound of the first audio stream: samples [channels, n] in -1..1, Hz, time of the first one.

    What is returned covers the window (None: everything) and may be longer at both ends. Where the
    time stamps leave a gap, silence stands.
    """
    import av
    from av.error import FFmpegError

    parts: list[npt.NDArray[np.float32]] = []
    rate, first_s, count = 0, 0.0, 0
    with opened(path) as container:
        stream = container.streams.audio[0]
        need_decoder(stream, path)
        stream.codec_context.thread_count = 1
        zero = start_of(container)
        if start_s is not None and start_s > SEEK_BEYOND_S:
            container.seek(int((start_s - PREROLL_S + zero) * av.time_base))
        try:
            for frame in container.decode(stream):
                now_s = (frame.time or 0.0) - zero
                if end_s is not None and now_s > end_s:
                    break
                if not parts:
                    rate, first_s = frame.sample_rate, now_s
                samples = _samples(frame)
                gap = round((now_s - first_s) * rate) - count
                if gap > GAP_S * rate:
                    parts.append(np.zeros((len(samples), gap), np.float32))
                    count += gap
                parts.append(samples)
                count += samples.shape[1]
        except FFmpegError:
            pass  # the caller compares what came with what the headers say
    if not parts:
        return np.zeros((1, 0), np.float32), 0, 0.0
    channels = min(len(part) for part in parts)
    return np.concatenate([part[:channels] for part in parts], axis=1), rate, first_s


def _samples(frame: AudioFrame) -> npt.NDArray[np.float32]:
    """[channels, n] float32 in -1..1 from any sample format."""
    raw = frame.to_ndarray()
    if not frame.format.is_planar:
        raw = raw.reshape(-1, frame.layout.nb_channels).T
    zero, full_scale = {"uint8": (128, 2**7), "int16": (0, 2**15), "int32": (0, 2**31)}.get(
        raw.dtype.name, (0, 1)
    )
    return ((raw.astype(np.float64) - zero) / full_scale).astype(np.float32)
