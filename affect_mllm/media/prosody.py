"""How something is said, in numbers: level, pitch, tempo and pauses of a waveform."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RATE_HZ = 16_000
HOP_S, LEVEL_S, PITCH_S = 0.01, 0.03, 0.06  # steps, and windows of level and pitch
PITCH_HZ = (60.0, 500.0)
VOICED = 0.45  # least height of the autocorrelation (Boersma's voicing threshold)
BELOW_DB, FLOOR_DB = 25.0, -60.0  # what is this far below the loudest part, or full scale, is none
DIP_DB = 2.0  # between two syllables
PAUSE_S = 0.15

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Prosody:
    """`loudness_db`: mean level of what is heard, in dB of full scale. `pitch_hz`: its median,
    `pitch_spread`: between its quartiles, in semitones, both None where nothing is voiced. `rate`:
    syllables a second of what is heard. `pauses`: share of silence between first and last sound.
    """

    loudness_db: float
    pitch_hz: float | None
    pitch_spread: float | None
    rate: float
    pauses: float


def prosody(waveform: npt.NDArray[np.float32]) -> Prosody | None:
    """Of a mono waveform `[n]` at 16 kHz; None where nothing is heard.

    Pitch is the highest peak of the autocorrelation over that of the window (Boersma 1993);
    syllables are voiced peaks of the level with a dip of 2 dB between them (de Jong and Wempe
    2009).
    """
    from scipy.signal import find_peaks

    sound = np.asarray(waveform, np.float64)
    levels = _levels(sound)
    if not len(levels) or levels.max() < FLOOR_DB:
        return None
    heard = levels > max(levels.max() - BELOW_DB, FLOOR_DB)
    pitches = _pitches(sound, len(levels))
    voiced = heard & np.isfinite(pitches)
    rising = levels + np.linspace(0, 1e-3, len(levels))  # of peaks of one height, one stands out
    peaks, _ = find_peaks(np.pad(rising, 1, constant_values=FLOOR_DB), prominence=DIP_DB)
    syllables = int(voiced[peaks - 1].sum())
    found = pitches[voiced]
    low, high = np.percentile(12 * np.log2(found), (25, 75)) if len(found) else (0.0, 0.0)
    return Prosody(
        float(10 * np.log10(np.mean(10 ** (levels[heard] / 10)))),
        float(np.median(found)) if len(found) else None,
        float(high - low) if len(found) else None,
        syllables / (int(heard.sum()) * HOP_S),
        _pauses(heard),
    )


def _windows(sound: Numbers, length_s: float, count: int | None = None) -> Numbers:
    """Windows `[T, n]` centred on every hop, zeros beyond the ends."""
    length, hop = round(length_s * RATE_HZ), round(HOP_S * RATE_HZ)
    count = len(sound) // hop if count is None else count
    padded = np.pad(sound, (length // 2, length))
    starts = np.arange(count) * hop
    return padded[starts[:, None] + np.arange(length)]


def _levels(sound: Numbers) -> Numbers:
    """dB of full scale `[T]`, smoothed by a Hann window."""
    weights = np.hanning(round(LEVEL_S * RATE_HZ))
    power = _windows(sound, LEVEL_S) ** 2 @ (weights / weights.sum())
    return 10 * np.log10(np.maximum(power, 1e-12))


def _pitches(sound: Numbers, count: int) -> Numbers:
    """Hz `[T]`, NaN where no lag fits."""
    windows = _windows(sound, PITCH_S, count)
    weights = np.hanning(windows.shape[1])
    windows = (windows - windows.mean(1, keepdims=True)) * weights
    size = 2 * windows.shape[1]
    of_windows = np.fft.irfft(np.abs(np.fft.rfft(windows, size)) ** 2)
    of_weights = np.fft.irfft(np.abs(np.fft.rfft(weights, size)) ** 2)
    first, last = (round(RATE_HZ / hz) for hz in PITCH_HZ[::-1])
    lags = np.arange(first, last + 1)
    whole = np.maximum(of_windows[:, :1] / of_weights[0], 1e-12)
    heights = of_windows[:, lags] / of_weights[lags] / whole
    # A lower octave fits as well: a small cost for each octave below the highest pitch.
    best = (heights - 0.03 * np.log2(lags / first)).argmax(1)
    sure = heights[np.arange(count), best] >= VOICED
    return np.where(sure, RATE_HZ / lags[best], np.nan)


def _pauses(heard: npt.NDArray[np.bool_]) -> float:
    """The share of silences of `PAUSE_S` and more between the first and the last sound."""
    places = np.flatnonzero(heard)
    gaps = np.diff(places) - 1
    return float(gaps[gaps * HOP_S >= PAUSE_S].sum() / (places[-1] - places[0] + 1))
