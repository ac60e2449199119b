"""Bad files: each is one DataError that names the file and says what to do, and nothing else."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from affect_mllm.media.audio import read_audio
from affect_mllm.media.video import Sampling, probe, read_frames, read_image
from affect_mllm.types import DataError
from tests.media import clips

SAMPLING = Sampling(frames=8)


def frames_error(path, **window) -> str:
    with pytest.raises(DataError) as caught:
        read_frames(path, SAMPLING, **window)
    assert caught.value.where == str(path)
    assert caught.value.fix or caught.value.expected
    return str(caught.value)


READERS = [lambda path: read_frames(path, SAMPLING), read_audio, read_image, probe]


@pytest.mark.parametrize("read", READERS, ids=["frames", "audio", "image", "probe"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"id,label\n1,happy\n" * 40, "cannot be read|a text file|neither|no video stream"),
        (bytes(range(256)) * 40, "cannot be read"),
        (None, "no such file"),
        ("directory", "a directory"),
    ],
    ids=["empty", "text", "bytes", "missing", "directory"],
)
@pytest.mark.parametrize("suffix", [".mp4", ".txt"])
def test_not_media(tmp_path, capfd, read, content, message, suffix):
    path = tmp_path / f"clip{suffix}"
    if content == "directory":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert caught.value.where == str(path)
    out, err = capfd.readouterr()
    assert out + err == ""


def test_an_mp4_without_its_index(tmp_path, capfd):
    path = clips.make_video(tmp_path / "v.mp4", sound_s=2.0)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 40])
    assert "moov" in frames_error(path)
    with pytest.raises(DataError, match="truncated"):
        read_audio(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_an_mp4_cut_in_its_data_says_how_many_frames_decoded(tmp_path, capfd, share):
    path = clips.make_video(tmp_path / "v.mp4", size=(320, 240), options={"movflags": "faststart"})
    data = path.read_bytes()
    start = data.index(b"mdat")
    path.write_bytes(data[: start + int((len(data) - start) * share)])
    message = frames_error(path)
    decoded, total = (int(word) for word in message.split(": ")[1].split()[:3:2])
    assert total == 50
    assert 0 < decoded < 50
    early = read_frames(path, SAMPLING, start_s=0.0, end_s=0.2)
    assert len(early.images) == 8
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".webm", ".avi", ".mkv"])
def test_other_containers_cut_short(tmp_path, capfd, suffix):
    path = clips.make_video(tmp_path / f"v{suffix}", size=(320, 240))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert "of 50 frames decoded" in frames_error(path)
    assert capfd.readouterr().err == ""


def test_webm_without_lengths_of_its_streams_cut_short(tmp_path):
    """Its header has the whole file's alone, which is that of the stream that ends last."""
    path = clips.make_video(tmp_path / "v.webm", size=(320, 240), sound_s=2.0)
    data = path.read_bytes()
    assert data.count(b"DURATION") == 2
    path.write_bytes(data.replace(b"DURATION", b"XURATION"))
    assert len(read_frames(path, SAMPLING).images) == 8
    assert len(read_audio(path)) == 32000
    path.write_bytes(path.read_bytes()[: len(data) * 4 // 5])
    assert "frames decoded: the file is truncated" in frames_error(path)
    with pytest.raises(DataError, match=r"of 2\.\d+ s of sound decoded"):
        read_audio(path)
    assert len(read_audio(path, start_s=0.0, end_s=1.0)) == 16000


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aiff", ".au", ".caf", ".w64"])
def test_sound_cut_short(tmp_path, capfd, suffix):
    path = clips.make_sound(tmp_path / f"s{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(
        DataError,
        match=r"of 2\.00 s of sound decoded|\.00 s of sound are missing|behind (0\.9|1\.0)\d s",
    ):
        read_audio(path)
    assert capfd.readouterr().err == ""


def test_damage_inside_the_data_is_not_passed_on_as_frames(tmp_path, capfd):
    path = clips.make_video(tmp_path / "v.mp4", size=(320, 240))
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + len(data) // 3
    data[start : start + 2000] = bytes(2000)
    path.write_bytes(bytes(data))
    assert "frames decoded" in frames_error(path)
    assert capfd.readouterr().err == ""


def test_sound_of_0_s(tmp_path):
    path = clips.make_sound(tmp_path / "s.wav", duration_s=0.0)
    with pytest.raises(DataError, match="0 s"):
        read_audio(path)


@pytest.mark.parametrize("sound_s", [None, 1.0])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_video_of_0_s(tmp_path, suffix, sound_s):
    path = clips.make_video(tmp_path / f"v{suffix}", frames=0, sound_s=sound_s)
    message = frames_error(path)
    assert "0 s" in message or "no video stream" in message


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".avi"])
def test_a_video_of_one_frame_is_to_be_given_as_an_image(tmp_path, suffix):
    path = clips.make_video(tmp_path / f"v{suffix}", frames=1)
    assert "give it as `image`" in frames_error(path)


def test_a_codec_without_a_decoder(tmp_path, capfd):
    video = clips.make_video(tmp_path / "v.avi", frames=5)
    data = video.read_bytes()
    assert data.count(b"FMP4") == 2
    video.write_bytes(data.replace(b"FMP4", b"ZZZZ"))
    assert "no decoder for its video stream" in frames_error(video)
    with pytest.raises(DataError, match="no decoder"):
        probe(video)
    sound = clips.make_sound(tmp_path / "s.wav")
    wav = bytearray(sound.read_bytes())
    wav[20:22] = b"\x34\x12"  # the format tag
    sound.write_bytes(bytes(wav))
    with pytest.raises(DataError, match="no decoder for its audio stream"):
        read_audio(sound)
    assert capfd.readouterr().err == ""


def test_encrypted_media_are_named_and_not_called_damaged(tmp_path):
    key = {"encryption_key": "00" * 16, "encryption_kid": "11" * 16}
    options = {"encryption_scheme": "cenc-aes-ctr", **key}
    path = clips.make_video(tmp_path / "v.mp4", frames=10, sound_s=0.4, options=options)
    assert "encrypted" in frames_error(path)
    for read in (read_audio, probe):
        with pytest.raises(DataError, match="encrypted"):
            read(path)


def test_the_wrong_kind_of_file(clip_dir):
    assert "no video stream" in frames_error(clip_dir / "s.wav")
    assert "give it as `image`" in frames_error(clip_dir / "i.jpg")
    with pytest.raises(DataError, match="as `video`"):
        read_image(clip_dir / "v.mp4")


@pytest.mark.parametrize("window", [(-1.0, None), (1.0, 1.0), (1.5, 0.5), (2.5, None), (0.0, 9.0)])
def test_a_window_outside_the_clip(clip_dir, window):
    start, end = window
    frames_error(clip_dir / "v.mp4", start_s=start, end_s=end)
    with pytest.raises(DataError, match="window"):
        read_audio(clip_dir / "v.mp4", start_s=start, end_s=end)


def test_a_window_may_end_a_rounding_after_the_clip(clip_dir):
    assert len(read_frames(clip_dir / "v.mp4", SAMPLING, start_s=1.0, end_s=2.05).images) == 8


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_truncated_picture(tmp_path, suffix):
    path = clips.make_image(tmp_path / f"i{suffix}", size=(400, 300))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="cannot be read as a picture"):
        read_image(path)


@pytest.mark.parametrize("backend", ["decord", "torchcodec"])
def test_a_backend_that_is_not_installed(clip_dir, monkeypatch, backend):
    monkeypatch.setitem(sys.modules, backend, None)
    with pytest.raises(DataError, match=rf"{backend}: cannot be loaded") as caught:
        read_frames(clip_dir / "v.mp4", SAMPLING, backend=backend)
    assert "pip install" in caught.value.fix
    assert "pyav" in caught.value.fix


def test_names_that_look_like_urls_or_patterns(tmp_path, clip_dir):
    for name in ("a:b.mp4", "%03d.mp4", "clip #1 ü.mp4"):
        path = tmp_path / name
        path.write_bytes((clip_dir / "v.mp4").read_bytes())
        assert np.isfinite(read_frames(path, SAMPLING).times_s).all()
