"""What a medium's file holds, by numbers alone: found once, and remembered beside its hash."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from affect_mllm.media.timeline import times_of
from affect_mllm.types import DataError

Floats = npt.NDArray[np.float64]
Size = tuple[int, int]  # height and width, in pixels


@dataclass(frozen=True)
class VideoMeasure:
    """`size` of a frame as displayed, and the part that is looked at: its `window` in seconds, and
    the time stamps `pts` [N] of its frames, in units of `unit_s` from `zero_s` on.
    """

    size: Size
    window: tuple[float, float]
    pts: npt.NDArray[np.int64]
    unit_s: float
    zero_s: float

    @property
    def times_s(self) -> Floats:
        """Seconds from the file's beginning at which each frame appears, as a timeline has them."""
        return times_of(self.pts, self.unit_s, self.zero_s)

    def text(self) -> str:
        """As it is kept: of evenly spaced frames, about a hundred bytes."""
        steps = np.diff(self.pts, prepend=0).astype("<i8")
        packed = base64.b85encode(zlib.compress(steps.tobytes(), 9)).decode()
        return json.dumps([self.size, self.window, packed, self.unit_s, self.zero_s])

    @classmethod
    def of_text(cls, text: str) -> VideoMeasure:
        """The same measure again, to the bit."""
        size, window, packed, unit_s, zero_s = json.loads(text)
        steps = np.frombuffer(zlib.decompress(base64.b85decode(packed)), "<i8")
        return cls(tuple(size), tuple(window), steps.cumsum(), unit_s, zero_s)


def measure_video(path: Path, start_s: float | None, end_s: float | None) -> VideoMeasure:
    """Of the window start_s to end_s (None: the file's own); one frame is decoded, for its size.

    Raises the DataError of `read_frames`.
    """
    from affect_mllm.media.video import frame_size, looked_at

    timeline, window = looked_at(path, start_s, end_s)
    return VideoMeasure(frame_size(path), window, timeline.pts, timeline.unit_s, timeline.zero_s)


def measure_folder(path: Path) -> list[Any]:
    """How many pictures a folder has and the size of each, `[count, sizes]`; one size if all agree.

    Raises DataError as `picture_files`.
    """
    from affect_mllm.media.pictures import picture_files
    from affect_mllm.media.still import picture_size

    sizes = [picture_size(each) for each in (picture_files(path) if path.is_dir() else [path])]
    return [len(sizes), sizes if len(set(sizes)) > 1 else sizes[:1]]


def measure_crops(path: Path) -> list[Any]:
    """`[count, [size]]` of an array of face crops, by its header."""
    from affect_mllm.media.openface import load_array

    shape = load_array(path).shape
    if len(shape) != 4:
        raise DataError(str(path), f"shape {shape}", expected="[T, H, W, 3]")
    return [shape[0], [shape[1:3]]]
