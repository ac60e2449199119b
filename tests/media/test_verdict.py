"""`validate --decode` and training give one verdict on a file: both read it by the same code."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from affect_mllm.data.reader import Reader, Transform
from affect_mllm.media.backends import pyav
from affect_mllm.media.check import check_media
from affect_mllm.media.sampling import Sampling
from affect_mllm.media.video import read_frames
from affect_mllm.tools.decoding import Job, decode_one
from affect_mllm.types import DataError, Sample
from tests.media import clips, sounds


def fragmented(path: Path) -> None:
    clips.make_video(path, sound_s=3.0, options={"movflags": "frag_keyframe+empty_moov"})


def wma(path: Path) -> None:
    sounds.write(path, "wmav2", sounds.tone(440, 2, 44100), rate=44100)


def adpcm(path: Path) -> None:
    sounds.write(path, "adpcm_ms", sounds.tone(440, 2, 44100), rate=44100)


def stream(path: Path) -> Path:
    """An MPEG-TS of 50 frames, a keyframe every 20."""
    source = clips.make_video(path.with_suffix(".mp4"))
    with av.open(str(source)) as given, av.open(str(path), "w") as made:
        target = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = target
                made.mux(packet)
    return path


def cut_inside_a_group(path: Path) -> None:
    data = stream(path.with_name("whole.ts")).read_bytes()
    tables = data[: 3 * 188]
    path.write_bytes(tables + data[(len(data) // 188 // 4) * 188 :])


def joined_streams(path: Path) -> None:
    part = stream(path.with_name("part.ts"))
    sounds.joined(path, part, part)


FILES = {
    "fragmented.mp4": (fragmented, True),
    "w.wma": (wma, True),
    "ad.wav": (adpcm, True),
    "whole.ts": (stream, True),
    "cut.ts": (cut_inside_a_group, False),
    "joined.ts": (joined_streams, False),
}


@pytest.mark.parametrize("name", FILES)
def test_one_verdict(tmp_path, name) -> None:
    make, good = FILES[name]
    make(tmp_path / name)
    kind = "audio" if name.endswith(("wma", "wav")) else "video"
    said = decode_one(Job(tmp_path, kind, name))
    everything = Reader(Sampling("fps", fps=1000, max_frames=1000), visual="frame")
    transforms: dict[str, Transform] = {"frame": np.asarray, "audio": np.asarray}
    if good:
        assert said is None
        everything.read(Sample("a", tmp_path, {kind: name}), transforms)
        return
    assert said is not None
    with pytest.raises(DataError) as caught:
        everything.read(Sample("a", tmp_path, {kind: name}), transforms)
    assert caught.value.got in said


def test_the_clock_that_starts_again_is_named(tmp_path) -> None:
    joined_streams(tmp_path / "j.ts")
    with pytest.raises(DataError, match=r"its clock goes back .*joined recordings"):
        read_frames(tmp_path / "j.ts", Sampling(frames=4))


def test_a_row_about_the_whole_part_of_a_damaged_file_is_good(tmp_path) -> None:
    whole = clips.make_sound(tmp_path / "s.mp3", duration_s=4.0)
    sounds.noisy(tmp_path / "n.mp3", whole)
    jobs = [Job(tmp_path, "audio", "n.mp3", *cut) for cut in ((0.0, 1.0), (1.5, 2.5))]
    assert [decode_one(job) is None for job in jobs] == [True, False]


def test_the_sound_of_a_video_beside_an_audio_is_not_judged(tmp_path) -> None:
    """Training takes the `audio`; the damaged sound of the video it never opens."""
    whole = clips.make_video(tmp_path / "w.mp4", sound_s=2.0)
    sounds.without_begin(tmp_path / "v.mp4", whole, 1.0)
    clips.make_sound(tmp_path / "a.wav", duration_s=2.0)
    alone = Sample("a", tmp_path, {"video": "v.mp4"})
    beside = Sample("b", tmp_path, {"video": "v.mp4", "audio": "a.wav"})
    transforms: dict[str, Transform] = {"frame": np.asarray, "audio": np.asarray}
    reader = Reader(Sampling(frames=4), visual="frame")
    assert {*reader.read(beside, transforms).arrays} == {"frame", "audio"}
    assert [decode_one(Job.of(beside, kind)) for kind in beside.media] == [None, None]
    with pytest.raises(DataError, match="its sound is damaged"):
        reader.read(alone, transforms)
    assert "its sound is damaged" in str(decode_one(Job.of(alone, "video")))


def test_a_frame_that_cannot_be_converted_is_bad_data(tmp_path, monkeypatch) -> None:
    path = clips.make_video(tmp_path / "v.mp4", frames=5)
    strange = av.VideoFrame(64, 48, "rgba128le")  # FFmpeg stores it and does not convert it
    monkeypatch.setattr(pyav, "frames_of", lambda *_: iter([(0, strange)]))
    with pytest.raises(DataError, match="cannot be converted to RGB"):
        read_frames(path, Sampling(frames=1))


def test_an_audio_without_sound_is_a_bad_row_for_both(tmp_path) -> None:
    clips.make_video(tmp_path / "mute.mp4", frames=5)
    with pytest.raises(DataError, match="no sound"):
        check_media(tmp_path / "mute.mp4", "audio")
    with pytest.raises(DataError, match="no sound"):
        Reader().read(Sample("a", tmp_path, {"audio": "mute.mp4"}), {"audio": lambda x: x})


def test_a_window_at_the_end_of_frames_that_the_header_forgot(tmp_path) -> None:
    """With B-frames the last frame in the file is not the last one shown, and lasts shorter."""
    times_ms = [40 * i for i in range(40)] + [1600 + 400 * i for i in range(10)]
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        options = {"bf": "3", "b_strategy": "0", "g": "50"}
        video = container.add_stream("libx264", rate=25, options=options)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        for number, at_ms in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(clips.picture(number, len(times_ms)))
            frame.pts, frame.time_base = at_ms, Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode())
    with av.open(str(path)) as container:
        assert container.duration is not None
        assert container.duration / 1e6 < 5.0, "the header says less than there is"
    found = read_frames(path, Sampling(frames=2), start_s=4.7, end_s=5.2)
    np.testing.assert_allclose(found.times_s, [4.8, 4.8], atol=1e-3)
    assert round(clips.index_of(found.images[0], 50)) == 48
    with pytest.raises(DataError, match="outside the clip"):
        read_frames(path, Sampling(frames=2), start_s=4.7, end_s=9.0)


CASES = {
    "13-validate-against-training/frag2.mp4": None,
    "13-validate-against-training/w.wmv": None,
    "13-validate-against-training/ad.wav": None,
    "13-validate-against-training/cut_start.ts": "50 of 55 frames",
    "12-joined-ts-frames-mixed/joined.ts": "clock goes back",
}


@pytest.mark.parametrize("name", CASES)
def test_files_that_had_two_verdicts(name) -> None:
    if "AFFECT_REFERENCE_DIR" not in os.environ:
        pytest.skip("AFFECT_REFERENCE_DIR is not set")
    path = Path(os.environ["AFFECT_REFERENCE_DIR"]) / "cases" / name
    kind = "audio" if path.suffix == ".wav" else "video"
    said = decode_one(Job(path.parent, kind, path.name))
    assert said is None if CASES[name] is None else CASES[name] in str(said)
