"""How something is said in numbers, of sounds whose numbers are known."""

from __future__ import annotations

import numpy as np
import pytest

from affect_mllm.media.prosody import RATE_HZ, prosody

TIME_S = np.arange(2 * RATE_HZ) / RATE_HZ


def voice(hz: float | np.ndarray, level: float = 0.3) -> np.ndarray:
    """A tone with overtones, as a voice has them."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(hz, TIME_S.shape)) / RATE_HZ
    return level * sum(np.sin(k * phase) / k for k in range(1, 8))


def of(sound: np.ndarray):
    found = prosody(sound.astype(np.float32))
    assert found is not None
    return found


@pytest.mark.parametrize("hz", [80, 120, 210, 333, 450])
def test_pitch_is_that_of_the_tone(hz: float) -> None:
    found = of(voice(hz))
    assert found.pitch_hz == pytest.approx(hz, rel=0.02)
    assert found.pitch_spread == pytest.approx(0, abs=0.1)
    assert found.pauses == 0


def test_a_wandering_pitch_spreads() -> None:
    """Six semitones up and down evenly: half of the time within three of them."""
    semitones = 6 * np.abs(2 * (TIME_S % 1) - 1) - 3
    assert of(voice(200 * 2 ** (semitones / 12))).pitch_spread == pytest.approx(3, abs=0.5)


def test_half_the_amplitude_is_six_decibels_less() -> None:
    loud, soft = of(voice(150)), of(voice(150, level=0.15))
    assert loud.loudness_db - soft.loudness_db == pytest.approx(6.02, abs=0.01)


def test_syllables_and_pauses_are_counted() -> None:
    """Ten bursts of 0.1 s in two seconds, of which two are left out in the middle."""
    beat = (TIME_S % 0.2 < 0.1).astype(float)
    steady = of(voice(200) * beat)
    assert steady.rate * 1.0 == pytest.approx(10, rel=0.35), "ten in a second of sound"
    assert steady.pauses == 0, "silences of 0.1 s are none"
    beat[(TIME_S > 0.75) & (TIME_S < 1.15)] = 0
    broken = of(voice(200) * beat)
    assert 0.2 < broken.pauses < 0.35
    assert broken.rate == pytest.approx(steady.rate, rel=0.2), "pauses do not slow speech"


def test_noise_has_no_pitch_and_silence_nothing() -> None:
    noise = of(np.random.default_rng(0).normal(0, 0.1, 2 * RATE_HZ))
    assert (noise.pitch_hz, noise.pitch_spread, noise.rate) == (None, None, 0)
    assert noise.loudness_db == pytest.approx(-20, abs=0.2)
    for nothing in (np.zeros(RATE_HZ), np.zeros(3)):
        assert prosody(nothing.astype(np.float32)) is None
