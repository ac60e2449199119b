"""Answers as models write them, with the readings that a person accepts: `readings.jsonl`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.eval.answers import accepted, labels_of, readings

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parent / "readings.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("benchmark", sorted({row["benchmark"] for row in ROWS}))
def test_each_is_read_as_a_person_reads_it(benchmark, tmp_path):
    rows = [
        row | {"labels": labels_of(benchmark), "prediction": {"response": row["response"]}}
        for row in ROWS
        if row["benchmark"] == benchmark
    ]
    found = readings(rows, tmp_path)
    otherwise = [
        f"{row['response']!r} is {status} {value!r}, not {row['accept']}"
        for row, (status, value) in zip(rows, found, strict=True)
        if not accepted(status, value, row["accept"])
    ]
    assert not otherwise, "\n".join(otherwise)
