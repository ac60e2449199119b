"""Decoding frames with decord 0.6, kept for parity with published pipelines that use it.

Frames only: its AudioReader gave single samples of 1e28 and NaN, other ones at each run, and does
not trim an encoder's delay. `import decord` before `import av` also breaks PyAV's libvpx, so this
module is only reached after PyAV has read the time stamps.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from affect_mllm.media.backends.trust import check_times, trusted_stream
from affect_mllm.media.refusals import unavailable, undecodable
from affect_mllm.media.timeline import Timeline, read_timeline

if TYPE_CHECKING:
    from types import ModuleType


def _library() -> ModuleType:
    try:
        import decord
    except (ImportError, OSError, RuntimeError) as error:
        fix = "pip install 'affect-mllm[codec]', or use backend=pyav"
        raise unavailable("decord", error, fix=fix) from error
    decord.logging.set_level(decord.logging.QUIET)
    return decord


def decode_frames(path: Path, timeline: Timeline, ranks: list[int]) -> npt.NDArray[np.uint8]:
    """Frames `ranks` of `timeline`: uint8 [len(ranks), H, W, 3] RGB.

    DataError when decord is not installed, does not decode the file, or is not trusted with it:
    it does not say which frame it gives.
    """
    decord = _library()
    trusted_stream("decord", path, timeline, tells=False)
    # decord's own times leave out when the stream starts, so frames are named by number, counted
    # over the whole file; it reads all of it in any case.
    whole = read_timeline(path, None, None)
    numbers = np.searchsorted(whole.pts, timeline.pts[ranks])
    try:
        reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
        if len(reader) != len(whole.pts):
            raise undecodable("decord", path, f"it sees {len(reader)} of {len(whole.pts)} frames")
        told = reader.get_frame_timestamp(list(range(len(reader))))[:, 0].astype(np.float64)
        check_times("decord", path, told - told[0], whole.times_s - whole.times_s[0])
        # One after the other: it counts frames wrongly when it seeks or skips among B-frames.
        frames = (reader.next() for _ in range(int(numbers.max()) + 1))
        wanted = set(numbers.tolist())
        return np.stack([f.asnumpy() for at, f in enumerate(frames) if at in wanted])
    except (decord.DECORDError, RuntimeError) as error:  # a generator's StopIteration, too
        raise undecodable("decord", path, error) from error
