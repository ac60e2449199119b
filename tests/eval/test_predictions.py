"""Faulty prediction files are refused with every fault; JSON is written whole or not at all."""

from __future__ import annotations

import json

import pytest

from affect_mllm.eval.files import rounded, write_json_atomic
from affect_mllm.eval.predictions import read_predictions
from affect_mllm.types import DataError
from tests.eval.runs import answers, corpus, write_predictions


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = answers(corpus(3))
    read = read_predictions(write_predictions(tmp_path / "p.jsonl", rows))
    assert [(r.id, r.response, r.modalities, r.gate) for r in read] == [
        (r.id, r.response, r.modalities, r.gate) for r in rows
    ]
    assert read[1].line == f"{tmp_path / 'p.jsonl'}:2"


def test_all_faults_are_listed_with_their_lines(tmp_path):
    path = tmp_path / "p.jsonl"
    lines = [
        '{"id": "a", "response": "happy"}',
        '{"id": "a", "response": "sad"}',
        "{not json",
        "",
        '{"response": "sad"}',
        '{"id": "b", "response": 3}',
        '{"id": "c", "labels": "sad"}',
        '{"id": "d", "labels": ["sad"]}',
        "[1]",
        '{"id": "z", "response": "sad"}',
    ]
    path.write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        read_predictions(path, known_ids={"a", "b", "c", "d"})
    message = str(caught.value)
    assert "7 bad rows" in message
    wanted = {2: "again, first at", 3: "not JSON", 5: "no id", 6: "neither", 7: "list of strings",
              9: "not an object", 10: "not in the manifest"}  # fmt: skip
    places = [message.index(f"{path}:{line}: ") for line in wanted]
    assert places == sorted(places)
    for line, said in wanted.items():
        assert said in next(part for part in message.split("\n") if f":{line}: " in part)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_predictions(tmp_path / "none.jsonl")


@pytest.mark.parametrize("key", ["id", "response"])
def test_half_a_character_is_a_fault_of_its_line(tmp_path, key):
    row = {"id": "a", "response": "happy"}
    row[key] += "\ud83d"
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=rf"p\.jsonl:1: .*{key} holds half a character") as caught:
        read_predictions(tmp_path / "p.jsonl")
    str(caught.value).encode()


def test_bytes_that_are_not_utf8_are_a_fault_of_their_line(tmp_path):
    (tmp_path / "p.jsonl").write_bytes(b'{"id": "a", "response": "\xff"}\n')
    with pytest.raises(DataError, match=r"p\.jsonl:1: not JSON"):
        read_predictions(tmp_path / "p.jsonl")


def test_floats_have_six_digits_and_small_ones_are_not_lost():
    assert rounded({"a": (1 / 3, 1.23456789), 2: 5}) == {"a": [0.333333, 1.234568], "2": 5}
    assert rounded([1e-9 / 3, 3600.1234567]) == [3.33333e-10, 3600.123457]
    assert str(rounded(-1e-17)) == "0.0"


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "r.json"
    write_json_atomic(path, {"b": 1, "a": 2})
    assert path.read_text() == '{\n "a": 2,\n "b": 1\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_atomic(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 2, "b": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]
