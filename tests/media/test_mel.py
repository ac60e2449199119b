"""Whisper's features against transformers' own, at every length."""

from __future__ import annotations

import numpy as np
import pytest

from affect_mllm.media.audio import WhisperMel
from affect_mllm.media.mel import ClipMel
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


@pytest.mark.parametrize("samples", [640, 12345, 5 * SECOND, 29.99 * SECOND, 30 * SECOND])
@pytest.mark.parametrize("window", [30 * SECOND, None])
def test_a_whole_clip_equals_what_an_omni_models_processor_makes_of_it_alone(window, samples):
    from transformers import WhisperFeatureExtractor

    waveform, chunk_s = noise(int(samples)), 30
    reference = WhisperFeatureExtractor(feature_size=128, chunk_length=chunk_s)
    how = {"padding": "max_length"} if window else {"padding": True, "truncation": False}
    wanted = reference(
        waveform, sampling_rate=SECOND, return_attention_mask=True, return_tensors="np", **how
    )
    frames = wanted.input_features[0].T[wanted.attention_mask[0].astype(bool)]
    made = ClipMel(128, window=window)(waveform)
    assert made.dtype == np.float32
    assert made.shape == frames.shape
    np.testing.assert_allclose(made, frames, atol=1e-4)


def test_a_quiet_beginning_is_measured_by_the_loud_end():
    """35 s, normalised as one: windows of 30 s by themselves would differ in all of the first."""
    from transformers import WhisperFeatureExtractor

    waveform = np.concatenate([0.001 * noise(30 * SECOND), 3 * noise(5 * SECOND, seed=1)])
    wanted = WhisperFeatureExtractor(feature_size=128, chunk_length=60)(
        waveform, sampling_rate=SECOND, return_tensors="np"
    ).input_features[0]
    made = ClipMel(128, window=60 * SECOND)(waveform)
    np.testing.assert_allclose(made, wanted[:, :3500].T, atol=1e-4)
    assert abs(made[:3000] - np.concatenate(WhisperMel(128)(waveform), 1).T[:3000]).max() > 0.5


def test_nothing_behind_the_window_is_cut():
    waveform = noise(3 * SECOND)
    made = ClipMel(128, window=2 * SECOND)(waveform)
    assert made.shape == (300, 128)
    assert (made[200:].std(0) > 0).all()


def test_of_fewer_frames_than_are_heard_there_are_none():
    assert ClipMel(128, window=SECOND, least=3)(noise(321)).shape == (3, 128)
    assert ClipMel(128, window=SECOND, least=3)(noise(320)).shape == (0, 128)
    assert ClipMel(128)(noise(159)).shape == (0, 128)
    assert ClipMel(128)(noise(160)).shape == (1, 128)
