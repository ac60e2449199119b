"""What speech encoders hear: transformers' normalisation, windows where they should be."""

from __future__ import annotations

import numpy as np
import pytest

from affect_mllm.media.waveform import Waveform, WaveformWindows
from affect_mllm.types import ConfigError, DataError


def sound(samples: int) -> np.ndarray:
    return np.random.default_rng(samples).standard_normal(samples).astype(np.float32) * 0.2 + 0.1


def test_normalisation_is_that_of_transformers() -> None:
    from transformers import Wav2Vec2FeatureExtractor

    clip = sound(5000)
    theirs = Wav2Vec2FeatureExtractor(do_normalize=True)(clip, sampling_rate=16000)
    np.testing.assert_allclose(Waveform()(clip), theirs.input_values[0], atol=1e-6)
    assert np.array_equal(Waveform(normalize=False)(clip), clip)


def test_windows_run_from_the_start_to_the_end() -> None:
    clip = np.arange(100_000, dtype=np.float32)
    got = WaveformWindows(windows=3, duration_s=2, normalize=False)(clip)
    assert got.shape == (3, 32000)
    assert got[:, 0].tolist() == [0, 34000, 68000]
    assert got[2, -1] == 99_999


def test_a_short_clip_is_followed_by_silence_that_is_not_normalised() -> None:
    clip = sound(1000)
    got = WaveformWindows(windows=2, duration_s=0.1)(clip)
    np.testing.assert_allclose(got[1, :1000], Waveform()(clip), atol=1e-6)
    assert not got[:, 1000:].any()


def test_no_sound_and_no_window_are_refused() -> None:
    for bad in (np.zeros(0, np.float32), np.zeros((2, 5), np.float32)):
        with pytest.raises(DataError, match="waveform"):
            Waveform()(bad)
        with pytest.raises(DataError, match="waveform"):
            WaveformWindows()(bad)
    with pytest.raises(ConfigError, match="0 windows"):
        WaveformWindows(windows=0)
