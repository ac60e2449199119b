"""Sound that was overwritten or cut: what FFmpeg passes over in silence is said."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from av.error import InvalidDataError

from affect_mllm.media.audio import read_audio
from affect_mllm.media.check import check_media
from affect_mllm.media.packets import demuxed
from affect_mllm.media.raw_sound import ends_inside
from affect_mllm.types import DataError
from tests.media import sounds


def made(path: Path, codec: str, rate: int = 44100) -> Path:
    return sounds.write(path, codec, sounds.tone(440, 4, rate), rate=rate)


def spoilt(path: Path, source: Path, begin: float, end: float, *, noise: bool) -> Path:
    """`source` with zeros or noise between two shares of its length."""
    data = bytearray(source.read_bytes())
    first, last = int(begin * len(data)), int(end * len(data))
    random = np.random.default_rng(0).bytes(last - first)
    data[first:last] = random if noise else bytes(last - first)
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize(
    ("name", "codec"), [("s.mp3", "libmp3lame"), ("s.aac", "aac"), ("s.ac3", "ac3")]
)
def test_a_beginning_or_an_end_that_was_overwritten_is_said(tmp_path, name, codec, noise) -> None:
    whole = made(tmp_path / name, codec)
    check_media(whole, "audio")
    for place in ((0.0, 0.25), (0.8, 1.0)):
        bad = spoilt(tmp_path / f"bad-{name}", whole, *place, noise=noise)
        with pytest.raises(DataError, match=r"damaged|of sound decoded"):
            read_audio(bad)


CUT = {
    "s.aac": ("aac", 44100),
    "s.ac3": ("ac3", 44100),
    "t.ac3": ("ac3", 48000),
    "s.eac3": ("eac3", 48000),
    "s.opus": ("libopus", 48000),
    "s.oga": ("flac", 44100),
    "s.mp3": ("libmp3lame", 44100),
    "t.mp3": ("libmp3lame", 24000),
}


@pytest.mark.parametrize("name", CUT)
def test_a_file_that_ends_inside_a_frame_or_page_was_cut(tmp_path, name) -> None:
    codec, rate = CUT[name]
    whole = made(tmp_path / name, codec, rate)
    if name.endswith("mp3"):
        whole.write_bytes(without_info(whole))
    check_media(whole, "audio")
    data, bad = whole.read_bytes(), tmp_path / f"cut-{name}"
    for share in (0.5, 0.5013):
        bad.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(DataError, match=r"it ends inside its last piece: cut off"):
            read_audio(bad)
        piece = read_audio(bad, start_s=0.2, end_s=0.7)
        assert piece is not None
        assert len(piece) == 8000, "what is before the cut is whole"
    bad.write_bytes(data + bytes(16))
    check_media(bad, "audio")


@pytest.mark.parametrize("name", sorted(each for each in CUT if each[-4:] not in ("opus", ".oga")))
def test_frames_follow_each_other_to_the_end_of_a_file(tmp_path, name) -> None:
    """By the headers alone: E-AC-3 has several frames in a packet."""
    codec, rate = CUT[name]
    data = made(tmp_path / name, codec, rate).read_bytes()
    path, demuxer = tmp_path / "part", name.split(".")[1]
    with av.open(str(tmp_path / name)) as container:
        starts = [each.pos for each in container.demux(audio=0) if each.pos is not None]
    assert len(starts) > 50
    for end, torn in ((len(data), False), (starts[9], False), (starts[9] + 7, True)):
        path.write_bytes(data[:end])
        assert ends_inside(path, demuxer, starts[0]) == torn, end


def without_info(path: Path) -> bytes:
    """An mp3 without tags and the frame that says how long it is."""
    with av.open(str(path)) as container:
        first = next(container.demux(audio=0))
    assert first.pos is not None
    return path.read_bytes()[first.pos :]


def test_tags_before_and_behind_an_mp3_are_no_damage(tmp_path) -> None:
    sound = made(tmp_path / "s.mp3", "libmp3lame").read_bytes()
    tag = b"APETAGEX" + (2000).to_bytes(4, "little") + (9032).to_bytes(4, "little") + bytes(16)
    (tmp_path / "t.mp3").write_bytes(sounds.ID3 + sound + tag + bytes(9000))
    check_media(tmp_path / "t.mp3", "audio")
    found = read_audio(tmp_path / "t.mp3")
    assert found is not None
    assert len(found) / 16000 == pytest.approx(4.0, abs=0.06)


def test_an_mp3_shorter_than_its_encoder_said_is_truncated(tmp_path) -> None:
    data = made(tmp_path / "s.mp3", "libmp3lame").read_bytes()
    assert b"Xing" in data[:300] or b"Info" in data[:300]
    (tmp_path / "cut.mp3").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"[12]\.\d+ of (3\.9|4\.0)\d s of sound decoded"):
        read_audio(tmp_path / "cut.mp3")
    found = read_audio(tmp_path / "cut.mp3", start_s=0.5, end_s=1.5)
    assert found is not None
    assert len(found) == 16000


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [("s.wma", "wmav2", 44100), ("s.webm", "libopus", 48000), ("s.ogg", "libopus", 48000)],
)
def test_a_part_that_the_demuxer_passes_over_is_found_by_validate(
    tmp_path, capfd, name, codec, rate
) -> None:
    """Training hears silence there; one file after another with the same complaint."""
    whole = made(tmp_path / name, codec, rate)
    check_media(whole, "audio")
    bad = spoilt(tmp_path / f"bad-{name}", whole, 0.4, 0.6, noise=True)
    for _ in range(2):
        with pytest.raises(DataError, match=r"damaged|truncated"):
            check_media(bad, "audio")
    assert av.logging.get_level() is None
    assert capfd.readouterr().err == ""


def test_a_stream_that_appears_inside_is_an_error_of_the_file() -> None:
    """PyAV looks a packet's stream up in the list that it made when the file was opened."""

    def packets(*_: object):
        yield "packet"
        raise IndexError("list index out of range")

    found = demuxed(SimpleNamespace(demux=packets))  # pyright: ignore
    assert next(found) == "packet"
    with pytest.raises(InvalidDataError, match="a stream appears inside"):
        next(found)
