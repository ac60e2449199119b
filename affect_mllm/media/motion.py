"""Where a clip moves most, from dense optical flow: event-driven frame sampling.

The idea is StimuVAR's (Guo et al., IJCV 2025, "event-driven frame sampling": dense optical flow,
then the frames of rapid events). The flow here is Lucas and Kanade's (IJCAI 1981) on frames 64
pixels wide, and the choice of frames is ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from affect_mllm.media.timeline import Timeline

Floats = npt.NDArray[np.float64]

WIDTH_PX = 64  # of the frames: a face moves by a few of these pixels, which flow can follow
WINDOW_PX = 7
SMOOTHING_S = 0.1
STILL_PX = 0.03  # what compression alone moves in a still picture, measured on H.264
# Added to the structure tensor: a plain surface, where flow is not determined, counts as still.
DAMPING = 2.0


def of_video(path: Path, timeline: Timeline) -> Floats:
    """Mean flow, in pixels of a frame 64 wide a frame, that leads to each frame [N]."""
    from affect_mllm.media.backends.pyav import grey_frames

    return of_frames(grey_frames(path, timeline, width=WIDTH_PX), len(timeline.pts))


def of_frames(frames: Iterable[tuple[int, npt.NDArray[np.float32]]], count: int) -> Floats:
    """The same for numbered grey frames [H, W] in 0..255, ascending; 0 where none was given."""
    motion = np.zeros(count)
    before: npt.NDArray[np.float32] | None = None
    for number, frame in frames:
        if before is not None:
            motion[number] = speed(before, frame)
        before = frame
    return motion


def speed(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> float:
    """Mean length of the optical flow between two grey frames [H, W], in pixels."""
    from scipy.ndimage import uniform_filter

    after = after * (before.mean() / max(float(after.mean()), 1.0))  # the light may change
    mean = (before + after) / 2
    down, across = np.gradient(mean)
    change = after - before
    xx, xy, yy, xt, yt = (
        uniform_filter(product, WINDOW_PX, mode="nearest")
        for product in (across**2, across * down, down**2, across * change, down * change)
    )
    xx, yy = xx + DAMPING, yy + DAMPING
    determinant = xx * yy - xy**2
    u = (xy * yt - yy * xt) / determinant
    v = (xy * xt - xx * yt) / determinant
    return float(np.hypot(u, v).mean())


def busiest(times_s: Floats, motion: Floats, count: int) -> npt.NDArray[np.intp]:
    """Numbers of `count` frames, ascending, that share the clip's motion equally among them.

    Motion is smoothed over 0.1 s; what exceeds its median is cut into `count` equal amounts, and
    of each the middle is taken: many frames of an event, few of what goes on all the time. None
    where nothing moves, or all the time alike.
    """
    from scipy.ndimage import gaussian_filter1d

    step = float(times_s[-1] - times_s[0]) / max(len(times_s) - 1, 1) or 1.0
    curve = gaussian_filter1d(motion, SMOOTHING_S / step, mode="nearest")
    amount = np.cumsum(np.maximum(curve - np.median(curve) - STILL_PX, 0))
    if amount[-1] == 0:
        return np.zeros(0, np.intp)
    return np.searchsorted(amount, (np.arange(count) + 0.5) / count * amount[-1])
