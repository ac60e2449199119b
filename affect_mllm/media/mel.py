"""Whisper's log-mel features in NumPy, of any length, without torch.

Source: Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", 2.2;
the numbers (400-sample window, hop 160, floor 8 below the maximum) as its released code has them.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from affect_mllm.types import DataError

SAMPLE_RATE_HZ = 16000
FFT_SAMPLES = 400
HOP_SAMPLES = 160  # 10 ms
WINDOW_SAMPLES = 30 * SAMPLE_RATE_HZ
WINDOW_FRAMES = WINDOW_SAMPLES // HOP_SAMPLES


class WhisperMel:
    """Waveform to log-mel windows, as Whisper wants them but only as long as the sound is."""

    def __init__(self, n_mels: int = 80) -> None:
        """`n_mels`: 80, or 128 for large-v3."""
        self.n_mels = n_mels

    def __call__(self, waveform: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        """One float32 [n_mels, T] for each 30 s of `waveform` [n] at 16 kHz, nothing cut off.

        T is the window's true length in steps of 10 ms, rounded up, at most 3000: the first T
        frames of what Whisper computes on the window padded to 30 s. Each window is normalised by
        its own maximum, so no other clip of a batch can change it. DataError if it is empty.
        """
        if waveform.ndim != 1 or not len(waveform):
            raise DataError("waveform", f"shape {waveform.shape}", expected="[n] with n > 0")
        starts = range(0, len(waveform), WINDOW_SAMPLES)
        return [self._window(waveform[at : at + WINDOW_SAMPLES]) for at in starts]

    def _window(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        padded = _silence_behind(samples, WINDOW_SAMPLES)
        log_mel = _log_mel(padded, self.n_mels, frames=WINDOW_FRAMES)
        steps = -(-len(samples) // HOP_SAMPLES)
        return np.ascontiguousarray(log_mel[:steps].T)


def _silence_behind(samples: npt.NDArray[np.float32], window: int) -> npt.NDArray[np.float32]:
    """The samples with what of a window's silence matters, where the window is longer.

    Two windows of the transform hold every frame that hears any of the sound; the other frames
    are pure silence and can't be the maximum.
    """
    silent = max(0, min(window - len(samples), 2 * FFT_SAMPLES))
    return np.pad(samples.astype(np.float32), (0, silent))


def _log_mel(
    samples: npt.NDArray[np.float32], n_mels: int, *, frames: int
) -> npt.NDArray[np.float32]:
    """`[T, n_mels]`, mirrored at both ends, at most 8 below the maximum, of at most `frames`.

    Whisper drops the frame that begins where the samples end.
    """
    ends = np.pad(samples, FFT_SAMPLES // 2, mode="reflect")
    cut = np.lib.stride_tricks.sliding_window_view(ends, FFT_SAMPLES)[::HOP_SAMPLES]
    spectrum = np.fft.rfft(cut[:frames] * _hann(), axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    log_mel = np.log10(np.maximum(power @ _mel_filters(n_mels), 1e-10))
    return ((np.maximum(log_mel, log_mel.max() - 8.0) + 4.0) / 4.0).astype(np.float32)


def _hann() -> npt.NDArray[np.float32]:
    """The periodic Hann window: the next power's symmetric one without its last point."""
    return np.hanning(FFT_SAMPLES + 1)[:-1].astype(np.float32)


@lru_cache(maxsize=4)
def _mel_filters(n_mels: int) -> npt.NDArray[np.float32]:
    """Triangular filters of unit area on Slaney's mel scale, 0 to 8 kHz: [201, n_mels]."""
    bins_hz = np.linspace(0, SAMPLE_RATE_HZ / 2, FFT_SAMPLES // 2 + 1)
    edges_hz = _mel_to_hz(np.linspace(0, _hz_to_mel(SAMPLE_RATE_HZ / 2), n_mels + 2))
    low, centre, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising = (bins_hz[:, None] - low) / (centre - low)
    falling = (high - bins_hz[:, None]) / (high - centre)
    return (np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)).astype(np.float32)


# Slaney's Auditory Toolbox (1998): linear to 1 kHz at 3 mel each 200 Hz, then 27 mel a factor 6.4.
_KNEE_HZ, _KNEE_MEL, _LOG_STEP = 1000.0, 15.0, np.log(6.4) / 27.0


def _hz_to_mel(hz: float) -> float:
    return hz * 3 / 200 if hz < _KNEE_HZ else _KNEE_MEL + float(np.log(hz / _KNEE_HZ)) / _LOG_STEP


def _mel_to_hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    above = _KNEE_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _KNEE_MEL) - _KNEE_MEL))
    return np.where(mel < _KNEE_MEL, mel * 200 / 3, above)


class MelFrames:
    """A whole clip's log-mel frames as one array, time first, for an encoder that cuts windows.

    `n_mels` is the number of bands.
    """

    def __init__(self, n_mels: int = 80) -> None:
        """`n_mels`: 80, or 128 for large-v3."""
        self.n_mels = n_mels

    def __call__(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """float32 [T, n_mels], the windows of `WhisperMel` one after another."""
        return np.concatenate(WhisperMel(self.n_mels)(waveform), axis=1).T

    def made(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Nothing but the shape of what it makes of `waveform`: windows are whole frames long."""
        return np.broadcast_to(np.float32(0), (-(-len(waveform) // HOP_SAMPLES), self.n_mels))


class ClipMel:
    """A whole clip's log-mel frames, time first, normalised once: for towers of any length.

    As Qwen-Omni's processors make them of one sound (WhisperFeatureExtractor, `n_samples` its
    window). With a `window`, silence stands behind a sound that is shorter, and a part of a frame
    counts whole; without, the sound's end is mirrored and a part of a frame does not count. A
    sound beyond the window, which those processors cut there, is heard to its end.
    """

    def __init__(self, n_mels: int = 128, *, window: int | None = None, least: int = 1) -> None:
        """`window` in samples; of a sound of fewer than `least` frames there are none."""
        self.n_mels, self.window, self.least = n_mels, window, least

    def __call__(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """float32 [T, n_mels] of `waveform` [n] at 16 kHz, one frame for 10 ms."""
        if waveform.ndim != 1:
            raise DataError("waveform", f"shape {waveform.shape}", expected="[n]")
        frames = self.frames(len(waveform))
        if frames < self.least:
            return np.zeros((0, self.n_mels), np.float32)
        most, padded = frames, waveform.astype(np.float32)
        if self.window is not None:
            most = max(frames, self.window // HOP_SAMPLES)
            padded = _silence_behind(padded, self.window)
        short = max(0, FFT_SAMPLES // 2 + 1 - len(padded))  # else there is too little to mirror
        log_mel = _log_mel(np.pad(padded, (0, short)), self.n_mels, frames=most)
        return log_mel[:frames]

    def made(self, waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Nothing but the shape of what it makes of `waveform`."""
        frames = self.frames(len(waveform))
        shape = (frames if frames >= self.least else 0, self.n_mels)
        return np.broadcast_to(np.float32(0), shape)

    def frames(self, samples: int) -> int:
        """How many frames so many samples have."""
        return samples // HOP_SAMPLES if self.window is None else -(-samples // HOP_SAMPLES)
