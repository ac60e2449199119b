"""Waveforms as speech encoders read them: each clip, or each window of it, normalised by itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from affect_mllm.types import ConfigError, DataError

SAMPLE_RATE_HZ = 16000


class Waveform:
    """A whole clip at 16 kHz, float32 [n] to float32 [n]."""

    def __init__(self, *, normalize: bool = True) -> None:
        """`normalize`: to zero mean and unit variance, as a checkpoint's `do_normalize` says."""
        self.normalize = normalize

    def __call__(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """float32 [n]. DataError if it is empty or of more than one channel."""
        _check(waveform)
        return _normalized(waveform) if self.normalize else waveform.astype(np.float32, copy=False)

    def made(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Nothing but the shape of what it makes of `waveform`."""
        return waveform


class WaveformWindows:
    """Equally long windows evenly spread over a clip: float32 [n] to float32 [windows, samples].

    AffectGPT hears eight windows of two seconds (zeroQiaoba/AffectGPT@fffca79, `models/ImageBind`):
    the first starts with the clip, the last ends with it, and a shorter clip is followed by
    silence. There the normalisation ran over all clips of a batch at once; here every window is
    normalised by itself, silence that was put behind it not counted.
    `windows` is how many, `duration_s` how long each is in seconds; `normalize`
    makes each of zero mean and unit variance.
    """

    def __init__(
        self, *, windows: int = 8, duration_s: float = 2.0, normalize: bool = True
    ) -> None:
        """`windows` of `duration_s` each. ConfigError for none, or for less than one sample."""
        self.windows, self.samples = windows, round(duration_s * SAMPLE_RATE_HZ)
        self.normalize = normalize
        if windows < 1 or self.samples < 1:
            raise ConfigError(
                "waveform",
                f"{windows} windows of {duration_s} s",
                expected="1 or more, longer than 0",
            )

    def __call__(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """float32 [windows, samples]. DataError if it is empty or of more than one channel."""
        _check(waveform)
        last = max(len(waveform) - self.samples, 0)
        starts = np.linspace(0, last, self.windows).astype(int)
        out = np.zeros((self.windows, self.samples), np.float32)
        for row, start in zip(out, starts, strict=True):
            window = waveform[start : start + self.samples]
            row[: len(window)] = _normalized(window) if self.normalize else window
        return out

    def made(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Nothing but the shape of what it makes of `waveform`."""
        del waveform
        return np.broadcast_to(np.float32(0), (self.windows, self.samples))


def _check(waveform: npt.NDArray[np.float32]) -> None:
    if waveform.ndim != 1 or not len(waveform):
        raise DataError("waveform", f"shape {waveform.shape}", expected="[n] with n > 0")


def _normalized(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Zero mean and unit variance, with the 1e-7 that transformers adds to the variance."""
    wide = samples.astype(np.float64)
    return ((wide - wide.mean()) / np.sqrt(wide.var() + 1e-7)).astype(np.float32)
