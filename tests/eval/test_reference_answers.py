"""Hostile answers that a person read, through scoring's own code.

`answers.jsonl` lies in the folder that AFFECT_REFERENCE_DIR names; a row has the benchmark, the
labels of the sample, the prediction, and the readings that a person accepts.
"""

from __future__ import annotations

import json

from tests.eval.answers import accepted, readings
from tests.eval.reference import FOLDER, VARIABLE, needs_reference

pytestmark = needs_reference

MOST_OTHERWISE = 0.01
MOST_SILENT = 1  # readings that differ and have a value: nobody would see them
# (benchmark, response) that are read otherwise on purpose, and why: none.
ON_PURPOSE: dict[tuple[str, str], str] = {}


def test_answers_are_read_as_a_person_reads_them(tmp_path):
    assert FOLDER is not None
    lines = (FOLDER / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    assert rows, f"no answer in answers.jsonl of {VARIABLE}"
    otherwise, silent = [], []
    for row, (status, value) in zip(rows, readings(rows, tmp_path), strict=True):
        key = row["benchmark"], str(row["prediction"].get("response"))
        if key not in ON_PURPOSE and not accepted(status, value, row["accept"]):
            said = f"{row['benchmark']}: {row['prediction']} is {status} {value}"
            otherwise.append(said)
            silent += [said] if status == "ok" else []
    assert len(otherwise) <= MOST_OTHERWISE * len(rows), "\n".join(otherwise)
    assert len(silent) <= MOST_SILENT, "\n".join(silent)
