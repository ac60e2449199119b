"""Scores of labels, calibrated on a validation split: hand-worked, and beside the plain ones."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from affect_mllm.data import manifest
from affect_mllm.eval.generate.calibrated import Calibration, calibrated, fitted, write
from affect_mllm.eval.main import main
from affect_mllm.eval.task import Task
from affect_mllm.types import ConfigError
from tests.tiny import QUESTION

LABELS = ("happy", "sad")


def test_scores_that_say_nothing_become_how_common_the_labels_are() -> None:
    """Equal scores, three of four rows happy: b_happy - b_sad = log 3 (many rows: no prior)."""
    truth = np.array([0, 0, 0, 1] * 5000)
    temperature, biases = fitted(np.zeros((len(truth), 2)), truth)
    assert biases[0] - biases[1] == pytest.approx(math.log(3), abs=1e-3)
    assert biases.sum() == pytest.approx(0, abs=1e-9)
    assert temperature == pytest.approx(1)


def test_a_temperature_and_a_bias_are_found_again() -> None:
    """Labels drawn from softmax(scores / 2.5 + b)."""
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 4, (40000, 3))
    wanted = np.array([0.6, 0.0, -0.6])
    noise = rng.gumbel(size=scores.shape)
    temperature, biases = fitted(scores, (scores / 2.5 + wanted + noise).argmax(1))
    assert temperature == pytest.approx(2.5, abs=0.06)
    assert biases == pytest.approx(wanted, abs=0.06)


def test_few_rows_move_little() -> None:
    """One row, of a label of two with equal scores: the prior holds b below a third."""
    temperature, biases = fitted(np.zeros((1, 2)), np.array([0]))
    # b_happy = -b_sad = 1 - p(happy) = 1 / (1 + exp(2 b)): b = 0.3006…
    assert biases[0] == pytest.approx(1 / (1 + math.exp(2 * biases[0])), abs=1e-4)
    assert temperature == pytest.approx(1)


def test_answers_are_those_of_the_calibrated_scores(tmp_path: Path) -> None:
    made = Calibration(2.0, {"happy": 0.0, "sad": 1.0}, "val", 4, "x")
    rows = [{"id": "a", "response": "happy", "scores": {"happy": -1.0, "sad": -2.0}},
            {"id": "b", "response": "", "error": "unread"}]  # fmt: skip
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = write(made, tmp_path / "p.jsonl", tmp_path / "q.predictions.jsonl")
    first, second = map(json.loads, out.read_text().splitlines())
    # -1/2 against -2/2 + 1: sad by a half
    assert first["response"] == "sad"
    assert first["scores"]["sad"] - first["scores"]["happy"] == pytest.approx(0.5)
    assert sum(map(math.exp, first["scores"].values())) == pytest.approx(1)
    assert second == rows[1]
    told = json.loads((tmp_path / "q.predictions.calibration.json").read_text())
    assert told["hash"] == first["calibration"] == made.name
    assert made.name != Calibration(2.0, {"happy": 0.0, "sad": 1.1}, "val", 4, "x").name


def test_rows_without_scores_are_left_out_of_the_fit(tmp_path: Path) -> None:
    rows = [{"id": f"v{at}", "subtitle": "x", "split": "val", "labels": {"emotion": LABELS[at % 2]}}
            for at in range(3)]  # fmt: skip
    manifest.write(rows, tmp_path / "m.jsonl")
    samples = list(manifest.read(tmp_path / "m.jsonl"))
    task = Task("t", "1", QUESTION, LABELS)
    known = tmp_path / "known.jsonl"
    known.write_text('{"id": "v0", "response": ""}\n')
    assert calibrated(task, samples, known, "val") is None
    with known.open("a") as file:
        file.write('{"id": "v1", "response": "sad", "scores": {"happy": 0, "sad": 0}}\n')
    found = calibrated(task, samples, known, "val")
    assert found is not None
    assert found.rows == 1
    assert found.biases["sad"] > 0


def test_an_evaluation_has_both_and_refuses_what_is_tested(tiny, tiny_run, tmp_path) -> None:
    rows = [
        {"id": f"{split}{at}", "subtitle": f"{split} {at}", "split": split,
         "labels": {"emotion": LABELS[at % 4 == 0]}}
        for split in ("val", "test") for at in range(8)
    ]  # fmt: skip
    manifest.write(rows, tmp_path / "m.jsonl")
    given = [f"checkpoint={tiny_run / 'instruct/final'}", "benchmark=own_clips", "subsets=[text]",
             f"manifest={tmp_path / 'm.jsonl'}", f"run_dir={tmp_path / 'run'}"]  # fmt: skip
    assert main([*given, "answer_by=likelihood", "calibrate=val"]) == 0
    found = json.loads((tmp_path / "run/results.json").read_text())["runs"]["own_clips"]
    assert {"text", "text-calibrated"} <= {*found["variants"]}
    assert found["n"] == found["variants"]["text-calibrated"]["n"] == 8, "rows of test alone"
    assert "text-calibrated" in {each["other"] for each in found["comparisons"]}
    every = ["calibrate=val", "answer_by=likelihood", "benchmark.split=null"]
    for wrong in (["calibrate=test", "answer_by=likelihood"], ["calibrate=val"], every):
        with pytest.raises(ConfigError, match="calibrate"):
            main([*given, *wrong])
