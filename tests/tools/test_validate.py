"""`validate` lists bad rows, groups in two splits and, when asked, media that do not decode."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from affect_mllm.tools import decoding
from affect_mllm.tools.app import main
from affect_mllm.tools.decoding import Job, decode_all
from affect_mllm.tools.validation import by_reason, validate
from affect_mllm.types import DataError
from tests.media import clips


def put(root: Path, *rows: dict[str, Any]) -> Path:
    path = root / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make_media(root: Path) -> None:
    Image.new("RGB", (32, 24), "teal").save(root / "good.png")
    (root / "bad.png").write_bytes((root / "good.png").read_bytes()[:40])
    with wave.open(str(root / "good.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        sound.writeframes(b"\1\2" * 8000)
    (root / "bad.wav").write_bytes(b"no sound at all")
    (root / "empty.mp4").touch()


def run(argv: list[str]) -> int | str | None:
    with pytest.raises(SystemExit) as left:
        main(argv)
    return left.value.code


def test_a_good_manifest_exits_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, {"id": "a", "subtitle": "x"}, {"id": "b", "subtitle": "y"})
    assert run(["validate", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: 2 rows, no problems\n"


def test_a_file_of_labels_that_are_not_the_manifests_is_a_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.csv").write_text("text,mood,split\nHm,boredom,train\nAh,joy,test\n")
    assert run(["manifest", "--csv", str(tmp_path / "t.csv"), "--label", "mood"]) == 0
    path = tmp_path / "manifest.jsonl"
    assert run(["validate", str(path)]) == 0
    path.write_text(path.read_text().replace("boredom", "ennui"))
    capsys.readouterr()
    assert run(["validate", str(path)]) == 1
    said = capsys.readouterr().out
    assert f"{path}:1: manifest.jsonl.labels.json: of other rows" in said
    assert "make the manifest again, or delete this file" in said
    path.with_name("manifest.jsonl.labels.json").write_text("{")
    assert run(["validate", str(path)]) == 1
    assert "manifest.jsonl.labels.json: cannot be read" in capsys.readouterr().out


def test_every_bad_row_is_printed_and_counted_by_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [{"id": f"v{at}", "video": f"{at}.mp4"} for at in range(30)]
    path = put(tmp_path, {"id": "a", "subtitle": "x"}, *bad, {"id": "z"})
    assert run(["validate", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{path}:2: [v0] video is missing: 0.mp4"
    assert sum("is missing: " in line for line in lines) == 30
    assert "31 problems in 31 rows, 1 rows without" in lines
    assert lines[-2:] == ["    30  video is missing", "     1  no modality"]


def test_a_group_in_two_splits_is_a_problem_and_a_speaker_is_not(tmp_path: Path) -> None:
    rows = [("g1", "train"), ("g1", "test"), ("g1", "test"), ("g2", "test"), ("g1", "val")]
    path = put(
        tmp_path,
        *(
            {"id": str(at), "subtitle": "x", "speaker": "s", "group": group, "split": split}
            for at, (group, split) in enumerate(rows)
        ),
    )
    (found,) = validate(path)
    assert [problem.line for problem in found.problems] == [2, 5]
    assert found.problems[0].reason == (
        "group leaks between splits: 'g1' is in 'train' and in 'test'"
    )
    assert by_reason([found]) == [("group leaks between splits", 2)]


def test_media_that_do_not_decode_are_found_only_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_media(tmp_path)
    path = put(
        tmp_path,
        {"id": "good", "image": "good.png", "audio": "good.wav"},
        {"id": "image", "image": "bad.png"},
        {"id": "audio", "audio": "bad.wav"},
        {"id": "video", "video": "empty.mp4"},
        {"id": "text", "subtitle": "x"},
        {"id": "voice", "video": "good.wav"},
    )
    assert run(["validate", str(path)]) == 0
    capsys.readouterr()
    assert run(["validate", str(path), "--decode", "--workers", "2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    for line, kind in ((2, "image"), (3, "audio"), (4, "video")):
        assert lines[line - 2].startswith(f"{path}:{line}: [{kind}] {kind} cannot be decoded: ")
    assert lines[3].endswith("; to mend it: give it as `audio` (good.wav)")
    assert "4 problems in 4 rows, 2 rows without" in lines


def test_a_worker_computes_on_one_thread_whenever_it_imported_torch() -> None:
    code = "import torch; torch.set_num_threads(3); from affect_mllm.tools import decoding; "
    code += "decoding._one_thread(); print(torch.get_num_threads())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        validate(tmp_path / "none.jsonl")


def test_the_same_thing_in_two_splits_is_found_under_other_names(tmp_path: Path) -> None:
    make_media(tmp_path)
    (tmp_path / "copy.png").write_bytes((tmp_path / "good.png").read_bytes())
    (tmp_path / "equally_long.wav").write_bytes((tmp_path / "good.wav").read_bytes()[::-1])
    train = put(
        tmp_path,
        {"id": "a", "image": "good.png", "split": "train"},
        {"id": "b", "image": "copy.png", "split": "train"},
        {"id": "c", "image": "copy.png", "split": "test"},
        {"id": "d", "audio": "good.wav", "split": "train"},
        {"id": "e", "audio": "equally_long.wav", "split": "test"},
        {"id": "f", "image": "good.png", "split": "train"},
    )
    (found,) = validate(train)
    assert [(problem.id, problem.reason) for problem in found.problems] == [
        ("c", "media leaks between splits: 'good.png' is in 'train' and in 'test',"
              " there as 'copy.png'"),
    ]  # fmt: skip


def test_manifests_given_together_are_compared(tmp_path: Path) -> None:
    make_media(tmp_path)
    for name, rows in {
        "train": [{"id": "a", "subtitle": "x"}, {"id": "b", "image": "good.png", "group": "g"}],
        "test": [{"id": "a", "subtitle": "y"}, {"id": "c", "subtitle": "z", "group": "g"}],
    }.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    train, test = validate(tmp_path / "train.jsonl", tmp_path / "test.jsonl")
    assert train.problems == ()
    assert [problem.reason for problem in test.problems] == [
        "id leaks between splits: 'a' is in 'train' and in 'test'",
        "group leaks between splits: 'g' is in 'train' and in 'test'",
    ]


def test_a_cut_outside_of_its_clip_is_found(tmp_path: Path) -> None:
    make_media(tmp_path)  # the wav is half a second long
    path = put(
        tmp_path,
        {"id": "in", "audio": "good.wav", "start_s": 0.1, "end_s": 0.4},
        {"id": "out", "audio": "good.wav", "start_s": 0.4, "end_s": 3.0},
    )
    (found,) = validate(path, decode=True, workers=1)
    assert [problem.id for problem in found.problems] == ["out"]


def crash(job: Job) -> str | None:
    """What a decoder does that dies on one file."""
    if job.where == "7.wav":
        os._exit(9)
    return None


def test_a_decoder_that_crashes_is_named_and_the_others_are_judged(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(decoding, "decode_one", crash)
    jobs = [Job(tmp_path, "audio", f"{number}.wav") for number in range(9)]
    found = decode_all(jobs, workers=1)
    assert {job.where for job in jobs if found[job]} == {"7.wav"}


CLIPS, DAMAGED = 500, 25


def damaged(whole: dict[str, bytes]) -> dict[str, bytes]:
    """25 files that are broken in as many ways, by name."""

    def cut(name: str, share: float) -> bytes:
        return whole[name][: int(len(whole[name]) * share)]

    def filled(name: str, share: float, with_: bytes) -> bytes:
        data = bytearray(whole[name])
        at = int(len(data) * share)
        data[at : at + len(with_)] = with_
        return bytes(data)

    def without(name: str, share: float) -> bytes:
        at = int(len(whole[name]) * share)
        return whole[name][:at] + whole[name][at + 250 :]

    noise = bytes((i * 97 + 31) % 251 for i in range(250))
    mp4 = whole["a.mp4"]
    made = {
        "empty.mp4": b"",
        "text.mp4": b"404 Not Found\n" * 40,
        "cut90.mp4": cut("a.mp4", 0.9),
        "cut30.mp4": cut("faststart.mp4", 0.3),
        "cut97.mp4": cut("faststart.mp4", 0.97),
        "zeros.mp4": filled("a.mp4", 0.4, bytes(250)),
        "noise.mp4": filled("a.mp4", 0.6, noise),
        "hole.mp4": without("faststart.mp4", 0.5),
        "noindex.mp4": mp4.replace(b"moov", b"mxxv"),
        "head.mp4": bytes(64) + mp4[64:],
        "cut.webm": cut("a.webm", 0.6),
        "zeros.webm": filled("a.webm", 0.5, bytes(250)),
        "hole.webm": without("a.webm", 0.3),
        "cut.avi": cut("a.avi", 0.6),
        "cut.mkv": cut("a.mkv", 0.5),
        "noise.mkv": filled("a.mkv", 0.5, noise),
        "png_named.mp4": whole["a.png"],
        "cut.wav": cut("a.wav", 0.7),
        "header.wav": whole["a.wav"][:44],
        "noise.mp3": filled("a.mp3", 0.5, noise),
        "cut.flac": cut("a.flac", 0.6),
        "zeros.flac": filled("a.flac", 0.5, bytes(250)),
        "cut.png": cut("a.png", 0.6),
        "noise.png": filled("a.png", 0.4, noise),
        "cut.jpg": cut("a.jpg", 0.7),
    }
    assert len(made) == DAMAGED
    return made


def test_of_500_clips_exactly_the_25_damaged_ones_are_named(tmp_path: Path) -> None:
    clips.make_video(tmp_path / "faststart.mp4", sound_s=2.0, options={"movflags": "faststart"})
    for ending in ("mp4", "webm", "avi", "mkv"):
        clips.make_video(tmp_path / f"a.{ending}", frames=50, sound_s=2.0)
    for ending in ("wav", "mp3", "flac"):
        clips.make_sound(tmp_path / f"a.{ending}", duration_s=1.0)
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    for ending in ("png", "jpg"):
        Image.fromarray(noise).save(tmp_path / f"a.{ending}")
    whole = {each.name: each.read_bytes() for each in sorted(tmp_path.iterdir())}
    bad = damaged(whole)
    files = {**bad}
    good = [*whole.items()]
    for number in range(CLIPS - DAMAGED):
        name, data = good[number % len(good)]
        files[f"good{number}{Path(name).suffix}"] = data
    rows = []
    for name, data in sorted(files.items()):
        (tmp_path / name).write_bytes(data)
        kind = {".png": "image", ".jpg": "image", ".wav": "audio", ".mp3": "audio",
                ".flac": "audio"}.get(Path(name).suffix, "video")  # fmt: skip
        rows.append({"id": name, kind: name})
    (found,) = validate(put(tmp_path, *rows), decode=True)
    assert found.good_rows == CLIPS - len(bad)
    assert sorted(problem.id for problem in found.problems) == sorted(bad)
