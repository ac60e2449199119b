"""Whisper's features against transformers' own, at every length."""

from __future__ import annotations

import numpy as np
import pytest

from affect_mllm.media.audio import WhisperMel
from affect_mllm.types import DataError

SECOND = 16000


def noise(samples, seed=0):
    envelope = np.linspace(0, 0.3, samples)
    return (np.random.default_rng(seed).standard_normal(samples) * envelope).astype(np.float32)


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize(
    "samples", [1, 199, 201, 12345, 4 * SECOND, 30 * SECOND - 100, 30 * SECOND, 45 * SECOND]
)
def test_equals_whisper_on_each_window(n_mels, samples):
    from transformers import WhisperFeatureExtractor

    reference = WhisperFeatureExtractor(feature_size=n_mels)
    waveform = noise(samples)
    windows = WhisperMel(n_mels)(waveform)
    assert sum(w.shape[1] for w in windows) == -(-samples // 160)
    for index, window in enumerate(windows):
        part = waveform[index * 30 * SECOND : (index + 1) * 30 * SECOND]
        wanted = reference(part, sampling_rate=SECOND, return_tensors="np").input_features[0]
        assert window.dtype == np.float32
        np.testing.assert_allclose(window, wanted[:, : window.shape[1]], atol=1e-4)


def test_a_loud_window_does_not_change_its_neighbour():
    quiet, loud = noise(30 * SECOND), 3 * noise(10 * SECOND, seed=1)
    alone = WhisperMel()(quiet)[0]
    together = WhisperMel()(np.concatenate([quiet, loud]))
    np.testing.assert_array_equal(together[0], alone)
    assert [w.shape for w in together] == [(80, 3000), (80, 1000)]


def test_silence_is_finite():
    assert np.isfinite(WhisperMel()(np.zeros(SECOND, np.float32))[0]).all()


def test_no_sound_is_an_error():
    with pytest.raises(DataError, match="n > 0"):
        WhisperMel()(np.zeros(0, np.float32))
