"""Sound as it is found: joined, damaged, of two rates, in the second track; nothing in silence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from affect_mllm.media.audio import read_audio, resample
from affect_mllm.media.check import check_media
from affect_mllm.media.resample import _kept as kept
from affect_mllm.types import DataError
from tests.media import clips, sounds


def heard(path: Path, **window) -> np.ndarray:
    found = read_audio(path, **window)
    assert found is not None
    return found


def test_two_mp3_in_one_file_are_heard_to_the_end(tmp_path) -> None:
    """The tag between them comes as a packet that does not decode."""
    one = sounds.write(tmp_path / "a.mp3", "libmp3lame", sounds.tone(440, 2, 44100), rate=44100)
    two = sounds.write(tmp_path / "b.mp3", "libmp3lame", sounds.tone(880, 2, 44100), rate=44100)
    got = heard(sounds.joined(tmp_path / "j.mp3", one, two, between=sounds.ID3))
    assert len(got) / 16000 == pytest.approx(4.0, abs=0.2)
    assert sounds.pitch(got[4000:28000]) == pytest.approx(440, abs=2)
    assert sounds.pitch(got[36000:60000]) == pytest.approx(880, abs=2)
    check_media(tmp_path / "j.mp3", "audio")


@pytest.mark.parametrize("rates", [(44100, 16000), (16000, 44100)])
def test_a_rate_that_changes_does_not_change_the_pitch(tmp_path, rates) -> None:
    parts = [
        sounds.write(tmp_path / f"{rate}.aac", "aac", sounds.tone(500, 2, rate), rate=rate)
        for rate in rates
    ]
    got = heard(sounds.joined(tmp_path / "j.aac", *parts))
    assert len(got) / 16000 == pytest.approx(4.0, abs=0.2)
    for part in (got[4000:28000], got[36000:60000]):
        assert sounds.pitch(part) == pytest.approx(500, abs=2)


def test_damage_inside_is_said_and_what_is_whole_before_it_is_heard(tmp_path) -> None:
    tone = sounds.tone(440, 4, 44100)
    whole = sounds.write(tmp_path / "s.mp3", "libmp3lame", tone, rate=44100)
    bad = sounds.noisy(tmp_path / "n.mp3", whole)
    for ask in (heard, lambda path: check_media(path, "audio")):
        with pytest.raises(DataError, match=r"its sound is damaged at [12]\.\d+ s") as caught:
            ask(bad)
        assert caught.value.where == str(bad)
    window: dict[str, Any] = {"start_s": 0.0, "end_s": 1.0}
    np.testing.assert_allclose(heard(bad, **window), heard(whole, **window), atol=1e-3)
    check_media(bad, "audio", **window)
    with pytest.raises(DataError, match="its sound is damaged"):
        heard(bad, start_s=3.0, end_s=3.8)  # an mp3 has no time stamps: how much was lost?


def test_damage_at_the_beginning_is_said_but_for_a_torn_edge(tmp_path) -> None:
    whole = sounds.write(tmp_path / "s.m4a", "aac", sounds.tone(440, 4, 44100), rate=44100)
    bad = sounds.without_begin(tmp_path / "b.m4a", whole, 2.0)
    for window in ({}, {"start_s": 1.0, "end_s": 3.0}):
        with pytest.raises(
            DataError, match=r"its sound is damaged at -?\d\.\d+ s: \d\.\d+ s of it"
        ):
            heard(bad, **window)
    behind = {"start_s": 2.5, "end_s": 3.5}
    np.testing.assert_allclose(heard(bad, **behind), heard(whole, **behind), atol=1e-3)
    torn = heard(sounds.without_begin(tmp_path / "t.m4a", whole, 0.03))
    assert len(torn) == len(heard(whole))


def test_the_track_that_players_choose_is_heard(tmp_path) -> None:
    tracks = [sounds.tone(hz, 1, 16000) for hz in (300, 600, 900)]
    for default in range(3):
        path = tmp_path / f"{default}.mkv"
        sounds.write(path, "flac", *tracks, rate=16000, default=default)
        assert sounds.pitch(heard(path)) == pytest.approx(300 * (default + 1), abs=2)


def test_a_seek_that_goes_astray_is_made_good(tmp_path) -> None:
    sound = sounds.tone(300, 70, 32000)
    sound *= np.linspace(0, 1, sound.shape[1], dtype=np.float32)
    path = sounds.program_stream(tmp_path / "s.mpg", sound, 32000)
    whole = heard(path)
    for start_s in (61.0, 66.5):
        piece = heard(path, start_s=start_s, end_s=start_s + 1)
        at = round(start_s * 16000)
        np.testing.assert_allclose(piece[100:-100], whole[at + 100 : at + 15900], atol=1e-3)


def test_time_stamps_that_jitter_put_no_silence_into_the_sound(tmp_path) -> None:
    """Stamps late by less than a packet and then right again tell of no gap."""
    whole = sounds.write(tmp_path / "w.mka", "flac", sounds.tone(440, 4, 16000), rate=16000)
    path = sounds.jittery(tmp_path / "j.mka", whole, 0.06)
    with av.open(str(path)) as container:
        times = [frame.time or 0.0 for frame in container.decode(audio=0)]
    assert np.diff(times).max() > 1.3 * np.median(np.diff(times))
    np.testing.assert_array_equal(heard(path), heard(whole))
    piece = heard(path, start_s=1.0, end_s=2.0)
    np.testing.assert_array_equal(piece, heard(whole)[16000:32000])


def test_kept_kernels_give_torchaudios_own_result() -> None:
    from torchaudio.functional import resample as theirs

    waveform = clips.tones(0.3)[0]
    for _ in range(2):
        ours = resample(waveform, 44100, 16000)
        torch.testing.assert_close(
            torch.from_numpy(ours), theirs(torch.from_numpy(waveform), 44100, 16000)
        )


def test_a_large_kernel_is_not_kept() -> None:
    from torchaudio.functional import resample as theirs

    kept.cache_clear()
    waveform = clips.tones(0.3)[0]
    for rate, count in ((44100, 1), (15991, 1), (8000, 2)):
        ours = resample(waveform, rate, 1000)
        expected = theirs(torch.from_numpy(waveform), rate, 1000)
        torch.testing.assert_close(torch.from_numpy(ours), expected)
        assert kept.cache_info().currsize == count


def test_seven_point_one_in_planes_is_read_and_does_not_crash() -> None:
    if "AFFECT_REFERENCE_DIR" not in os.environ:
        pytest.skip("AFFECT_REFERENCE_DIR is not set")
    file = Path(os.environ["AFFECT_REFERENCE_DIR"]) / "media/sample_dts_hd_ma.mp4"
    code = "import sys; from affect_mllm.media.audio import read_audio as read; "
    code += "print(len(read(sys.argv[1], sample_rate_hz=48000)))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) / 48000 == pytest.approx(1.0, abs=0.01)


LENGTHS = {
    "cases/10-one-bad-packet-ends-the-sound/joined_same.mp3": 4.05,
    "cases/10-one-bad-packet-ends-the-sound/joined_rates.mp3": 4.06,
    "cases/10-one-bad-packet-ends-the-sound/joined_rates.aac": 4.15,
    "media/sample_nb_with_silence_frames.amr": 4.36,
    "media/lossless.wma": 3.55,
    "media/bbb_1ch_8kHz_aac_lc.m4a": 3.07,
}


@pytest.mark.parametrize("name", LENGTHS)
def test_files_of_others_are_heard_to_the_end_and_called_good(name) -> None:
    if "AFFECT_REFERENCE_DIR" not in os.environ:
        pytest.skip("AFFECT_REFERENCE_DIR is not set")
    path = Path(os.environ["AFFECT_REFERENCE_DIR"]) / name
    assert len(heard(path)) / 16000 == pytest.approx(LENGTHS[name], abs=0.02)
    check_media(path, "audio")
