"""Scores of labels, calibrated on rows that are not tested: a temperature and biases.

log p(label) becomes log p(label) / T + b_label. T and b are the likeliest on a validation split,
with a standard normal prior on b and on log T, so that few rows move them little. Guo et al. 2017
(temperature and vector scaling, arXiv 1706.04599); Zhao et al. 2021 (arXiv 2102.09690) take b from
an input without content instead.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affect_mllm.eval.files import write_json_atomic, write_text_atomic
from affect_mllm.eval.predictions import read_predictions
from affect_mllm.eval.task import Task
from affect_mllm.types import ConfigError, DataError, Sample

KINDS = ("closed_label", "sentiment", "statement_judgment")
ENDING = "-calibrated"  # of a variant


@dataclass(frozen=True)
class Calibration:
    """What is done to scores: `biases` by label. `split`, `rows` and `data` (the hash of their
    answers) say what it was fitted on.
    """

    temperature: float
    biases: dict[str, float]
    split: str
    rows: int
    data: str

    @property
    def name(self) -> str:
        """Its hash."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def of(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Log-probabilities of the labels, which add up to 1."""
        raw = np.array([scores[label] for label in self.biases])
        found = raw / self.temperature + np.array([*self.biases.values()])
        return dict(zip(self.biases, _log_softmax(found).tolist(), strict=True))


def check(task: Task, split: str | None, answer_by: str) -> None:
    """ConfigError where there is nothing to calibrate, or on what is tested."""
    if split is None:
        return
    if answer_by == "generation" or task.kind not in KINDS:
        raise ConfigError(
            "calibrate",
            f"{split} with answer_by={answer_by}, a task of kind {task.kind}",
            expected=f"answer_by=likelihood or head, of {', '.join(KINDS)}",
        )
    if split.startswith("test") or task.split in (None, split):
        raise ConfigError(
            "calibrate",
            f"{split}, which is tested"
            + (": a benchmark without a split tests every row" if task.split is None else ""),
            expected="a validation split",
            fix="set rows aside: nothing is fitted on a test set",
        )


def fitted(
    scores: NDArray[np.float64], truth: NDArray[np.int64]
) -> tuple[float, NDArray[np.float64]]:
    """T and biases `[C]` (of mean 0) for scores `[N, C]` and the places of true labels."""
    from scipy.optimize import minimize

    rows = np.arange(len(truth))

    def loss(given: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        sharp, biases = np.exp(-given[0]), given[1:]
        told = _log_softmax(scores * sharp + biases)
        wrong = np.exp(told)
        wrong[rows, truth] -= 1
        slope = np.concatenate([[-(wrong * scores).sum() * sharp], wrong.sum(0)])
        return float(-told[rows, truth].sum() + (given**2).sum() / 2), slope + given

    best = minimize(loss, np.zeros(scores.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return float(np.exp(best[0])), best[1:] - best[1:].mean()


def calibrated(
    task: Task, samples: Sequence[Sample], known: Path, split: str
) -> Calibration | None:
    """Fitted on the answers `known` to these rows of a split; None where none of them has scores.

    Raises DataError for rows without a score of every label.
    """
    truths = {sample.id: task.truth_of(sample) for sample in samples}
    answers = [row for row in read_predictions(known) if row.scores and truths.get(row.id)]
    if not answers:
        return None
    if lacking := [row.id for row in answers if not set(task.labels) <= row.scores.keys()]:
        raise DataError(str(known), f"{lacking[0]}: no score of some label", expected="all of them")
    scores = np.array([[row.scores[label] for label in task.labels] for row in answers])
    truth = np.array([task.labels.index(str(truths[row.id])) for row in answers])
    temperature, biases = fitted(scores, truth)
    told = dict(zip(task.labels, biases.tolist(), strict=True))
    data = hashlib.sha256(known.read_bytes()).hexdigest()[:16]
    return Calibration(temperature, told, split, len(answers), data)


def write(calibration: Calibration, answers: Path, out: Path) -> Path:
    """The rows of a predictions file with their scores calibrated, at `out`; and beside it the
    calibration itself.
    """
    lines = []
    for line in answers.read_text("utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        if row.get("scores"):
            scores = calibration.of(row["scores"])
            row |= {"scores": scores, "response": max(scores, key=scores.__getitem__)}
            row["calibration"] = calibration.name
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    write_text_atomic(out, "".join(lines))
    told = {**asdict(calibration), "hash": calibration.name}
    write_json_atomic(out.with_suffix(".calibration.json"), told)
    return out


def _log_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = scores - scores.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
