"""Which files the other backends are trusted with: those of which they decode PyAV's frames.

They choose a stream, seek and turn pictures by rules of their own. Where these are known to go
wrong the file is refused, and what a backend says of its frames is compared with the timeline.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from affect_mllm.media.container import need_video, opened
from affect_mllm.media.orientation import display_matrix, is_mirrored
from affect_mllm.media.packets import decoded, from_the_beginning
from affect_mllm.media.refusals import undecodable
from affect_mllm.media.timeline import Timeline

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Where a backend that does not say which frame it gives was found right, frame by frame. In MPEG-TS
# decord's first and last ones were garbage.
SAFE_CONTAINERS = ("mov", "matroska")
SAFE_CODECS = ("h264", "hevc", "vp8", "vp9", "mpeg4")
SAME_S = 0.002  # times that differ by less are the same frame's, rounded


def trusted_stream(name: str, path: Path, timeline: Timeline, *, tells: bool) -> int:
    """The number of the video stream that the backend `name` is to decode.

    `tells`: it can be told which stream to take, and says when each frame is shown. One that
    does not is trusted with the containers and codecs above alone. DataError where it is known to
    return other frames.
    """
    with opened(path) as container:
        stream = need_video(container, path)
        reason = _reason(container, stream, timeline, tells=tells)
        if reason is None:
            first = next(decoded(container, stream), None)
            if first is not None and is_mirrored(display_matrix(first)):
                reason = "it does not mirror pictures as their display matrix says"
        if reason is not None:
            raise undecodable(name, path, reason)
        return stream.index


def check_times(
    name: str, path: Path, told_s: npt.NDArray[np.float64], wanted_s: npt.NDArray[np.float64]
) -> None:
    """DataError unless the frames that a backend gives are of the times that were asked for."""
    off = np.abs(told_s - wanted_s)
    if len(told_s) and off.max() > SAME_S:
        at = int(off.argmax())
        raise undecodable(
            name, path, f"it gives the frame of {told_s[at]:.3f} s for that of {wanted_s[at]:.3f} s"
        )


def _reason(
    container: InputContainer, stream: VideoStream, timeline: Timeline, *, tells: bool
) -> str | None:
    """Why frames of this stream cannot be had from a backend that seeks for itself, or None."""
    kind, codec = container.format.name, stream.codec_context.name
    if timeline.by_order or not (tells or kind.startswith(SAFE_CONTAINERS)):
        return f"it returns wrong frames for {container.format.long_name}"
    if not tells and codec not in SAFE_CODECS:
        return f"it returns wrong frames for {codec}"
    if not tells and len(container.streams.video) > 1:
        return "it chooses among several video streams by itself"
    if from_the_beginning(stream):
        return "it seeks, and this file is read rightly only from its beginning"
    return None
