"""Published reference cases: where they lie, and answers as a `Read` for our metrics."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.metrics.intervals import measure
from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.predictions import Prediction
from affect_mllm.types import Sample

VARIABLE = "AFFECT_REFERENCE_DIR"
FOLDER = Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None
needs_reference = pytest.mark.skipif(FOLDER is None, reason=f"{VARIABLE} is not set")


def load(name: str) -> dict:
    """The content of a file of the reference folder, nothing where there is no folder."""
    return json.loads((FOLDER / name).read_text()) if FOLDER else {}


def read_of(truth, answers, labels=(), **changes) -> Read:
    """Answers beside the truth; one outside `labels` was not read."""
    rows = [
        (answer, "ok") if not labels or answer in labels else (None, "out_of_vocabulary")
        for answer in answers
    ]
    values = {
        "samples": [Sample(str(i), Path()) for i in range(len(rows))],
        "predictions": [Prediction(str(i)) for i in range(len(rows))],
        "truth": list(truth),
        "answers": [answer for answer, _ in rows],
        "status": [status for _, status in rows],
        "labels": tuple(labels),
    }
    return Read(**(values | changes))


def values(read: Read, **names: str) -> dict[str, float]:
    """{reported name: value of our metric} for `names` given as reported=ours."""
    groups = [str(i) for i in range(len(read))]
    found = measure(read, {name: METRICS[name] for name in names.values()}, groups)
    return {reported: found[ours].value for reported, ours in names.items()}


def same(found, expected, tolerance: float = 1e-9) -> bool:
    """Equal structure and numbers; "nan" and null stand for a number that is none."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            same(found[key], expected[key], tolerance) for key in expected
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if expected == "nan":
        return isinstance(found, float) and math.isnan(found)
    if isinstance(expected, int | float) and not isinstance(expected, bool):
        return found is not None and found == pytest.approx(expected, abs=tolerance)
    return found == expected
