"""Sound: one downmix, the same waveform from every backend, windows on the clip's clock."""

from __future__ import annotations

import av
import numpy as np
import pytest

from affect_mllm.media.audio import downmix, read_audio, resample
from affect_mllm.types import DataError
from tests.media import clips

LOSSLESS = (".wav", ".flac")


def truth(duration_s=2.0, rate=44100):
    return resample(clips.tones(duration_s, rate).mean(axis=0), rate, 16000)


def misfit(got, wanted):
    """RMS of the difference over RMS of the truth, over the middle that both have."""
    n = min(len(got), len(wanted)) - 1600
    a, b = got[1600:n], wanted[1600:n]
    return float(np.sqrt(((a - b) ** 2).mean() / (b**2).mean()))


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_lossless_sound_is_the_average_of_its_channels_at_16_khz(clip_dir, suffix):
    got = read_audio(clip_dir / f"s{suffix}")
    assert got is not None
    assert got.dtype == np.float32
    assert got.shape == (32000,)
    np.testing.assert_allclose(got, truth(), atol=1e-4)


@pytest.mark.parametrize("name", ["s.mp3", "v.mp4", "v.webm", "v.mkv"])
def test_lossy_sound_is_in_place_and_in_scale(clip_dir, name):
    rate = 48000 if name == "v.webm" else 44100
    got, wanted = read_audio(clip_dir / name), truth(rate=rate)
    here = misfit(got, wanted)
    assert here < 0.15
    assert here < min(misfit(got[2:], wanted), misfit(got, wanted[2:]))


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_sample_format_has_the_same_scale(tmp_path, suffix, subtype):
    import soundfile

    if not soundfile.check_format(suffix[1:].upper(), subtype):
        subtype = "PCM_16"
    path = tmp_path / f"s{suffix}"
    soundfile.write(path, clips.tones(0.5, 16000).T, 16000, subtype=subtype)
    wanted = clips.tones(0.5, 16000).mean(axis=0)
    tolerance = 0.01 if subtype == "PCM_U8" else 1e-4
    np.testing.assert_allclose(read_audio(path), wanted, atol=tolerance)


def test_downmix_is_the_average_and_not_ffmpegs_mono(tmp_path):
    """FFmpeg's mono of a stereo file is louder where its weights are not one half each."""
    stereo = clips.tones(1.0, 16000)
    np.testing.assert_allclose(downmix(stereo), (stereo[0] + stereo[1]) / 2, atol=1e-7)
    # A centred 5.1 voice: FFmpeg weighs the centre 0.707 and its average is one sixth.
    surround = np.zeros((6, 16000), np.float32)
    surround[2] = stereo[0]
    path = tmp_path / "surround.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=16000, layout="5.1")
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(surround.T).reshape(1, -1), "flt", "5.1"
        )
        frame.sample_rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    ours = read_audio(path)
    np.testing.assert_allclose(ours, stereo[0] / 6, atol=1e-6)
    with av.open(str(path)) as container:
        mono = av.AudioResampler(format="flt", layout="mono", rate=16000)
        theirs = np.concatenate(
            [f.to_ndarray()[0] for g in container.decode(audio=0) for f in mono.resample(g)]
        )
    assert np.sqrt((theirs**2).mean()) > 1.2 * np.sqrt((ours**2).mean())


@pytest.mark.parametrize("name", ["s.wav", "s.flac", "s.mp3", "v.mp4", "v.webm", "v.avi", "v.mkv"])
def test_a_window_is_a_piece_of_the_whole(clip_dir, name):
    whole = read_audio(clip_dir / name)
    for start, end in ((0.0, 0.5), (0.3, 0.5), (1.3, 1.9)):
        piece = read_audio(clip_dir / name, start_s=start, end_s=end)
        assert len(piece) == round((end - start) * 16000)
        expected = whole[round(start * 16000) : round(end * 16000)]
        # The resampler's filter sees silence instead of neighbours at the window's ends.
        np.testing.assert_allclose(piece[40:-40], expected[40:-40], atol=1e-4)


@pytest.mark.parametrize(("name", "tolerance"), [("s.flac", 1e-4), ("v.mp4", 1e-4)])
def test_a_window_that_is_reached_by_seeking(tmp_path, monkeypatch, clip_dir, name, tolerance):
    from affect_mllm.media.backends import pyav_sound

    plain = read_audio(clip_dir / name, start_s=1.2, end_s=1.8)
    monkeypatch.setattr(pyav_sound, "SEEK_BEYOND_S", 1.0)
    np.testing.assert_allclose(
        read_audio(clip_dir / name, start_s=1.2, end_s=1.8), plain, atol=tolerance
    )


def test_sound_that_begins_later_than_the_picture_stays_in_place(tmp_path, clip_dir):
    path = tmp_path / "late.mkv"
    clips.make_video(path, sound_s=1.0, sound_from_s=0.5)
    got = read_audio(path)
    assert np.abs(got[: 16000 * 45 // 100]).max() == 0
    assert misfit(got[8000:], truth(1.0)) < 0.25  # Matroska's millisecond moves it a little


def test_a_video_without_sound_gives_none(tmp_path):
    assert read_audio(clips.make_video(tmp_path / "mute.mp4", frames=5)) is None


def test_under_decord_sound_is_pyavs(clip_dir):
    path = clip_dir / "v.mp4"
    np.testing.assert_array_equal(read_audio(path, backend="decord"), read_audio(path))


def test_other_sample_rates(clip_dir):
    assert len(read_audio(clip_dir / "s.wav", sample_rate_hz=8000)) == 16000
    same = read_audio(clip_dir / "s.wav", sample_rate_hz=44100)
    np.testing.assert_allclose(same, clips.tones(2.0).mean(axis=0), atol=1e-4)


def test_a_picture_is_not_sound(clip_dir):
    with pytest.raises(DataError, match="give it as `image`"):
        read_audio(clip_dir / "i.png")


def test_a_gap_between_time_stamps_is_silence(tmp_path):
    """FFmpeg's fragmented mp4 leaves one behind the first packet when the picture starts late."""
    path = tmp_path / "v.mp4"
    clips.make_video(path, sound_s=3.0, options={"movflags": "frag_keyframe+empty_moov"})
    whole = read_audio(path, sample_rate_hz=44100)
    piece = read_audio(path, sample_rate_hz=44100, start_s=1.0, end_s=1.5)
    assert len(piece) == 22050
    np.testing.assert_array_equal(piece, whole[44100 : 44100 + 22050])
    with av.open(str(path)) as container:
        last = list(container.decode(audio=0))[-1]
    assert len(whole) == round(last.time * 44100) + last.samples


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_sound_that_is_no_number_is_said_with_its_time(tmp_path, value):
    import soundfile

    sound = clips.tones(1.0, 16000).T.copy()
    sound[4000:4003, 0] = value
    soundfile.write(tmp_path / "s.wav", sound, 16000, subtype="FLOAT")
    with pytest.raises(DataError, match=r"3 samples of its sound .*first at 0\.250 s"):
        read_audio(tmp_path / "s.wav")
    assert len(read_audio(tmp_path / "s.wav", start_s=0.5)) == 8000
