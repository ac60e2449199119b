"""Speech to text: sentences come back, windows are joined, and silence says nothing."""

import numpy as np
import pytest

from affect_mllm.tools.transcribe import transcribe
from affect_mllm.types import DataError

SENTENCE = "My brother went to the market to buy some bread and milk."


def words(text):
    return "".join(c for c in text.lower() if c.isalnum() or c == " ").split()


def word_errors(said, heard):
    """Edit distance over words."""
    row = list(range(len(heard) + 1))
    for i, a in enumerate(said, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(heard, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]


def test_a_spoken_sentence_is_written_down(assets, speak):
    heard = words(transcribe(speak(SENTENCE), assets / "whisper-base"))
    assert word_errors(words(SENTENCE), heard) <= 1


def test_speech_past_thirty_seconds_is_not_cut_off(assets, speak):
    speech = speak(SENTENCE)
    long = np.zeros(32 * 16_000 + len(speech), dtype=np.float32)
    long[: len(speech)] = long[-len(speech) :] = speech
    heard = words(transcribe(long, assets / "whisper-base"))
    assert word_errors(words(SENTENCE) * 2, heard) <= 2


@pytest.mark.parametrize("seconds", [0, 0.05, 3, 31])
def test_silence_says_nothing_and_needs_no_model(seconds, tmp_path):
    assert transcribe(np.zeros(int(seconds * 16_000), np.float32), tmp_path / "absent") == ""


def noise(kind):
    if kind == "hum":
        return 0.01 * np.sin(2 * np.pi * 50 * np.arange(4 * 16_000) / 16_000)
    return 0.05 * np.random.default_rng(3).standard_normal(4 * 16_000)


@pytest.mark.parametrize("kind", ["hum", "hiss"])
def test_sound_without_speech_says_nothing(assets, kind):
    assert transcribe(noise(kind).astype(np.float32), assets / "whisper-base") == ""


def test_quiet_speech_is_still_written_down(assets, speak):
    heard = words(transcribe(0.01 * speak(SENTENCE), assets / "whisper-base"))
    assert word_errors(words(SENTENCE), heard) <= 1


@pytest.mark.parametrize("bad", [np.zeros((2, 16_000)), np.full(16_000, np.nan)])
def test_a_waveform_of_another_form_is_refused(bad, tmp_path):
    with pytest.raises(DataError, match="waveform"):
        transcribe(bad, tmp_path)
