"""One downmix and one resampler for all sound of the package."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from affect_mllm.media.refusals import unavailable

if TYPE_CHECKING:
    from torchaudio.transforms import Resample

KERNELS = 16  # pairs of rates whose filter is kept; making one takes longer than using it
# Larger filters are not kept: that of 11127 Hz to 16 kHz, which share no factor, takes 713 MB.
KEPT_VALUES = 1_000_000


def downmix(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The plain average over channels of [channels, n]: float32 [n].

    This is the package's only downmix. FFmpeg's own stereo-to-mono (what `-ac 1`, a PyAV mono
    resampler or decord's `mono=True` do) weighs channels differently: for one and the same file
    it gave an RMS of 0.0859 where the average gives 0.0607. So backends are asked for all
    channels, and never for mono.
    """
    return samples.mean(axis=0, dtype=np.float64).astype(np.float32)


def resample(
    waveform: npt.NDArray[np.float32], from_hz: int, to_hz: int
) -> npt.NDArray[np.float32]:
    """`waveform` [n] at another rate, by torchaudio's windowed sinc: float32 [n * to / from].

    DataError when torchaudio cannot be loaded.
    """
    if from_hz == to_hz or not len(waveform):
        return waveform
    import torch

    values = from_hz * to_hz // math.gcd(from_hz, to_hz) ** 2
    made = _kept(from_hz, to_hz) if values <= KEPT_VALUES else _resampler(from_hz, to_hz)
    with torch.inference_mode():
        return made(torch.from_numpy(waveform)).numpy()


def resampled_length(samples: int, from_hz: int, to_hz: int) -> int:
    """How many samples `resample` makes of so many; in float32, as torchaudio rounds up."""
    if from_hz == to_hz or not samples:
        return samples
    common = math.gcd(from_hz, to_hz)
    return math.ceil(np.float32((to_hz // common) * samples / (from_hz // common)))


def _resampler(from_hz: int, to_hz: int) -> Resample:
    import torch

    try:
        from torchaudio.transforms import Resample
    except (ImportError, OSError, RuntimeError) as error:
        # A RuntimeError: torchaudio refuses a torch that was built for another CUDA version.
        raise unavailable("torchaudio", error, fix="install the torch that goes with it") from error
    return Resample(from_hz, to_hz, dtype=torch.float32)


_kept = lru_cache(maxsize=KERNELS)(_resampler)
