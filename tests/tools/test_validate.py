"""`validate` lists bad rows, groups in two splits and, when asked, media that do not decode."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from affect_mllm.tools.app import main
from affect_mllm.tools.validate import decode_one, validate
from affect_mllm.types import DataError, Sample


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


def test_every_bad_row_is_printed_and_counted_by_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [{"id": f"v{at}", "video": f"{at}.mp4"} for at in range(30)]
    path = put(tmp_path, {"id": "a", "subtitle": "x"}, *bad, {"id": "z"})
    assert run(["validate", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{path}:2: [v0] video is missing: 0.mp4"
    assert sum("is missing: " in line for line in lines) == 30
    assert "31 problems, 1 good rows" in lines
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
    found = validate(path)
    assert [problem.line for problem in found.problems] == [2, 5]
    assert found.problems[0].reason == (
        "group leaks between splits: 'g1' is in 'train' and in 'test'"
    )
    assert found.by_reason() == [("group leaks between splits", 2)]


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
    )
    assert run(["validate", str(path)]) == 0
    capsys.readouterr()
    assert run(["validate", str(path), "--decode", "--workers", "2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    for line, kind in ((2, "image"), (3, "audio"), (4, "video")):
        assert lines[line - 2].startswith(f"{path}:{line}: [{kind}] {kind} cannot be decoded: ")
    assert "3 problems, 5 good rows" in lines


def test_sound_alone_and_pictures_alone_decode_in_this_process(tmp_path: Path) -> None:
    make_media(tmp_path)
    media = {"image": "good.png", "audio": "good.wav"}
    assert decode_one(Sample(id="a", root=tmp_path, media=media)) == []
    (reason,) = decode_one(Sample(id="b", root=tmp_path, media={**media, "image": "bad.png"}))
    assert reason.endswith("(bad.png)")


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        validate(tmp_path / "none.jsonl")
