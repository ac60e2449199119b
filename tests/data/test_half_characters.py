"""Text that no tokenizer reads is found in the manifest, wherever it stands, and said in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from affect_mllm.data import manifest, row_checks
from affect_mllm.tools.app import main
from affect_mllm.types import DataError

HALF = "\ud83d"
PLACES: dict[str, dict[str, Any]] = {
    "id": {"id": f"r{HALF}"},
    "subtitle": {"subtitle": f"so happy {HALF}"},
    "speaker": {"speaker": HALF},
    "group": {"group": HALF},
    "split": {"split": f"train{HALF}"},
    "labels.emotion": {"labels": {"emotion": HALF}},
    "labels.emotions[1]": {"labels": {"emotions": ["sad", f"{HALF}happy"]}},
    "labels.notes.deep[0]": {"labels": {"notes": {"deep": [HALF]}}},
    "the key labels.\\ud83d": {"labels": {HALF: 1}},
    "messages[0].content": {"messages": [{"role": "user", "content": f"Why? {HALF}"}]},
}


def put(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("place", PLACES)
def test_validate_names_the_line_and_the_place(tmp_path, capsys, place) -> None:
    good = {"id": "a", "subtitle": "fine \U0001f600"}
    path = put(tmp_path, good, {"id": "b", "subtitle": "x"} | PLACES[place])
    with pytest.raises(SystemExit) as left:
        main(["validate", str(path)])
    assert left.value.code == 1
    out = capsys.readouterr().out
    assert f"{path}:2: " in out
    assert f"{place} holds half a character" in out
    out.encode()
    with pytest.raises(DataError, match="half a character") as caught:
        manifest.read(path)
    str(caught.value).encode()


def test_numbers_of_faces_are_not_walked_through(monkeypatch) -> None:
    """A row of thousands of numbers asks about its texts alone, a bad one names them."""
    asked: list[Any] = []
    real = row_checks._encodes
    monkeypatch.setattr(row_checks, "_encodes", lambda each: (asked.append(each), real(each))[1])
    boxes = [[1.5, 2, 3, 4]] * 300
    row = {"id": "x", "face_boxes": boxes, "face_times_s": [*range(300)], "labels": {"a": [HALF]}}
    (said,) = row_checks.text_problems(row)
    assert said.startswith("labels.a[0] holds half")
    assert not [each for each in asked if isinstance(each, int | float)]


def test_an_id_twice_with_half_a_character_is_no_traceback(tmp_path) -> None:
    row = {"id": f"r{HALF}", "subtitle": "x"}
    assert len(manifest.problems(put(tmp_path, row, row))) == 3


def test_it_is_not_written_either(tmp_path) -> None:
    with pytest.raises(DataError, match="subtitle holds half a character"):
        manifest.write([{"id": "a", "subtitle": HALF}], tmp_path / "out.jsonl")
    assert not list(tmp_path.iterdir())


def test_a_file_name_that_is_not_text_is_said_once(tmp_path) -> None:
    (problem, *_) = manifest.problems(put(tmp_path, {"id": "a", "audio": f"{HALF}.wav"}))
    assert "audio holds half a character" in problem.reason
