"""When each frame of a video is shown, read from its packets without decoding them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from affect_mllm.media.container import (
    BACK_S,
    need_video,
    opened,
    start_of,
    stream_end,
    told_end,
    went_back,
)
from affect_mllm.media.packets import decoded, demuxed, from_the_beginning, shows
from affect_mllm.types import DataError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream


@dataclass(frozen=True)
class Timeline:
    """The frames of a window of a video, in the order in which they are shown.

    `pts` int64 [N]: time stamps in the stream's own unit; `keyframe` bool [N]; `times_s` float64
    [N]: seconds from the file's beginning at which each frame appears; `end_s`: when the last one
    ends; `by_order`: time stamps cannot be matched to decoded frames (AVI stores none), so frame
    i is the i-th that the decoder gives from the file's beginning; `zero_s`: the file clock's
    reading at its beginning, which the other backends' times include; `unit_s`: of the stamps.
    """

    pts: npt.NDArray[np.int64]
    keyframe: npt.NDArray[np.bool_]
    times_s: npt.NDArray[np.float64]
    end_s: float
    by_order: bool
    zero_s: float
    unit_s: float


def read_timeline(path: Path, start_s: float | None, end_s: float | None) -> Timeline:
    """The timeline of `path` from the keyframe at or before `start_s` to `end_s` (None: whole).

    DataError when the file has no video, no frames, one frame only, two recordings, or ends before
    its headers say it does.
    """
    with opened(path) as container:
        stream = need_video(container, path)
        begin_s = None if from_the_beginning(stream) else start_s
        packets = _scan(path, container, stream, begin_s=begin_s, end_s=end_s)
        by_order = container.format.name == "avi" or any(p.pts is None for p in packets)
        if begin_s and (by_order or not packets or _shown(packets[0], container) > begin_s):
            # Order counts from the file's beginning; with a poor index the seek overshoots.
            container.seek(0)
            packets = _scan(path, container, stream, begin_s=None, end_s=end_s)
        codec = stream.codec_context.name
        whole = [p for p in packets if not (p.is_corrupt or p.is_discard)]
        good = [p for p in whole if shows(p, codec)]
        if not good:
            raise DataError(
                str(path),
                "a video without frames (0 s)",
                expected="frames",
                fix="give a longer clip",
            )
        timeline = _timeline(good, container, stream, by_order=by_order)
        if not whole[-1].size:  # repeats the last frame
            timeline = replace(timeline, end_s=max(timeline.end_s, _end(whole[-1], timeline)))
        _check_complete(path, container, stream, timeline, packets=packets, end_s=end_s)
    if len(timeline.pts) == 1 and start_s is None and end_s is None:
        raise DataError(
            str(path),
            "a video of one frame",
            expected="two frames or more",
            fix="save the frame as jpg or png and give it as `image`",
        )
    return timeline


def times_of(pts: npt.NDArray[np.int64], unit_s: float, zero_s: float) -> npt.NDArray[np.float64]:
    """Seconds from the file's beginning, where its clock shows `zero_s`, of stamps in a unit."""
    return (pts * unit_s - zero_s).astype(np.float64)


def _shown(packet: Packet, container: InputContainer) -> float:
    stamp = packet.pts if packet.pts is not None else (packet.dts or 0)
    return float(stamp * packet.time_base) - start_of(container)


def _scan(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    *,
    begin_s: float | None,
    end_s: float | None,
) -> list[Packet]:
    """The packets of the window, in the file's order; a read error ends the list.

    DataError where the clock starts again: the parts' frames would be sorted into each other.
    """
    from av.error import FFmpegError

    time_base = stream.time_base
    assert time_base is not None
    zero = start_of(container)
    if begin_s:
        container.seek(int((begin_s + zero) / time_base), stream=stream)
    packets: list[Packet] = []
    last_s = -math.inf
    try:
        for packet in demuxed(container, stream):
            if packet.dts is None and packet.pts is None:
                continue  # the flush packet at the end
            packets.append(packet)
            # A frame is never shown before its dts, so nothing later belongs to the window.
            decoded_s = float((packet.dts or 0) * time_base) - zero
            if packet.dts is not None:
                if decoded_s < last_s - BACK_S:
                    raise went_back(path, last_s, decoded_s)
                last_s = decoded_s
            if end_s is not None and decoded_s > end_s:
                break
    except FFmpegError:
        pass  # `_check_complete` says how much is missing
    return packets


def _timeline(
    packets: list[Packet], container: InputContainer, stream: VideoStream, *, by_order: bool
) -> Timeline:
    stamps = np.array([p.dts if p.pts is None else p.pts for p in packets], np.int64)
    keys = np.array([p.is_keyframe for p in packets], bool)
    order = np.argsort(stamps, kind="stable")
    pts = stamps[order]
    unit = float(stream.time_base or 0)
    # AVI counts from the first packet that is stored, not from the first frame that is shown.
    zero = pts[0] * unit if by_order else start_of(container)
    times = times_of(pts, unit, zero)
    last = packets[int(order[-1])].duration or 0
    step = last * unit or _typical_step(times, stream)
    return Timeline(pts, keys[order], times, float(times[-1] + step), by_order, float(zero), unit)


def _end(packet: Packet, timeline: Timeline) -> float:
    stamp = packet.pts if packet.pts is not None else (packet.dts or 0)
    return float((stamp + (packet.duration or 0)) * packet.time_base) - timeline.zero_s


def _typical_step(times: npt.NDArray[np.float64], stream: VideoStream) -> float:
    if len(times) > 1:
        return float(np.median(np.diff(times)))
    return float(1 / stream.average_rate) if stream.average_rate else 0.0


def _check_complete(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    timeline: Timeline,
    *,
    packets: list[Packet],
    end_s: float | None,
) -> None:
    step = _typical_step(timeline.times_s, stream)
    claimed_s = stream_end(container, stream)
    if claimed_s is None and (end_s is None or timeline.end_s < end_s):
        claimed_s = told_end(path, container, got_s=timeline.end_s)
    total = round(claimed_s / step) if claimed_s and step else len(packets)
    short = False
    if claimed_s is not None:
        needed = claimed_s if end_s is None else min(end_s, claimed_s)
        short = timeline.end_s < needed - max(0.1, 2.5 * step)
    if end_s is None and container.format.name.startswith("mov"):
        # The demuxer's index (edit lists applied) has one entry for each packet it should give.
        indexed = len(stream.index_entries)
        total = indexed or total
        readable = sum(not p.is_corrupt for p in packets)
        short = short or (timeline.times_s[0] <= step and readable < indexed)
    if short:
        raise truncated(path, total=total, until_s=(timeline.end_s, claimed_s))


def truncated(
    path: Path,
    *,
    total: int,
    among: Timeline | None = None,
    until_s: tuple[float, float | None] | None = None,
) -> DataError:
    """The error for a video of which only a part decodes; counts that part by decoding it.

    `total`: how many frames there should be, of the file or `among` those of a timeline.
    `until_s`: when the picture ends, and should end.
    """
    count = _count_decoded(path, among)
    got = f"{count} of {total} frames decoded"
    if count >= total:  # the total was a guess, or frames decode and are marked as damaged
        end_s, claimed_s = until_s or (None, None)
        got = "frames that do not decode"
        if claimed_s is not None:
            got = f"its picture ends at {end_s:.2f} of {claimed_s:.2f} s"
    return DataError(
        str(path),
        f"{got}: the file is truncated or damaged",
        expected="a complete file",
        fix="copy or record it again",
    )


def _count_decoded(path: Path, among: Timeline | None) -> int:
    """Frames that decode from the file's beginning, of the whole file or of a timeline."""
    from av.error import FFmpegError

    wanted = None if among is None or among.by_order else set(among.pts.tolist())
    count = 0
    with opened(path) as container:
        stream = need_video(container, path)
        try:
            for frame in decoded(container, stream):
                count += not frame.is_corrupt and (wanted is None or frame.pts in wanted)
        except FFmpegError:
            pass
    return count
