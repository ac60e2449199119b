"""Decoding with torchcodec, which needs FFmpeg's shared libraries on the system."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from affect_mllm.media.backends.trust import check_times, trusted_stream
from affect_mllm.media.refusals import unavailable, undecodable
from affect_mllm.media.timeline import Timeline

if TYPE_CHECKING:
    from types import ModuleType

FIX = (
    "pip install 'affect-mllm[codec]' and install FFmpeg's shared libraries "
    "(Debian: apt install ffmpeg), or use backend=pyav"
)


def _decoders() -> ModuleType:
    try:
        from torchcodec import decoders
    except (ImportError, OSError, RuntimeError) as error:
        raise unavailable("torchcodec", error, fix=FIX) from error
    return decoders


def _loading_failed(error: Exception) -> bool:
    """torchcodec imports without FFmpeg and complains only when it is first used."""
    return "Could not load libtorchcodec" in str(error)


def decode_frames(path: Path, timeline: Timeline, ranks: list[int]) -> npt.NDArray[np.uint8]:
    """Frames `ranks` of `timeline`: uint8 [len(ranks), H, W, 3] RGB.

    DataError when torchcodec cannot be loaded, does not decode the file, or gives frames of other
    times, as it does in some MPEG-TS and behind some edit lists.
    """
    decoders = _decoders()
    stream = trusted_stream("torchcodec", path, timeline, tells=True)
    try:
        decoder = decoders.VideoDecoder(
            str(path),
            stream_index=stream,
            dimension_order="NHWC",
            num_ffmpeg_threads=1,
            seek_mode="exact",
        )
        # A quarter frame later than its beginning, safe from rounding to the one before.
        ends = np.append(timeline.times_s[1:], timeline.end_s)
        late = timeline.times_s + 0.25 * (ends - timeline.times_s) + timeline.zero_s
        batch = decoder.get_frames_played_at(seconds=[float(late[rank]) for rank in ranks])
    except (RuntimeError, ValueError, IndexError) as error:
        if _loading_failed(error):
            raise unavailable("torchcodec", error, fix=FIX) from error
        raise undecodable("torchcodec", path, error) from error
    told = batch.pts_seconds.cpu().numpy() - timeline.zero_s
    check_times("torchcodec", path, told, timeline.times_s[ranks])
    return batch.data.cpu().numpy()


def decode_audio(
    path: Path, stream: int, zero_s: float
) -> tuple[npt.NDArray[np.float32], int, float]:
    """All sound of a stream: samples [channels, n] in -1..1, Hz, when it begins in seconds."""
    decoders = _decoders()
    try:
        sound = decoders.AudioDecoder(str(path), stream_index=stream).get_all_samples()
    except (RuntimeError, ValueError) as error:
        if _loading_failed(error):
            raise unavailable("torchcodec", error, fix=FIX) from error
        raise undecodable("torchcodec", path, error) from error
    return sound.data.numpy(), int(sound.sample_rate), float(sound.pts_seconds) - zero_s
