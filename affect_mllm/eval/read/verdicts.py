"""A judge's verdicts as scoring reads them.

`NAME.verdicts.jsonl` (see `eval/generate/judge.py`) has one object a line, `{"id", "scores":
{NAME: number} or null, "answer", "judge", "rubric", "prompt_hash", …}`: null is a verdict that
the judge failed to give, `answer` ties it to the answer that was judged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affect_mllm.eval.predictions import Prediction, raise_problems
from affect_mllm.media.refusals import unlike, unreadable
from affect_mllm.types import DataError, Sample, finite

Scores = Mapping[str, float]
MAX_FAILED = 0.05  # share of samples without a verdict above which a mean says too little
_JUDGE = ("judge", "rubric", "prompt_hash")


@dataclass(frozen=True)
class Verdicts:
    """Scores by id, the hash of each judged answer, and `by`: judge, rubric and prompt's hash."""

    scores: Mapping[str, Scores | None]
    answers: Mapping[str, str] = field(default_factory=dict)
    by: Mapping[str, Any] = field(default_factory=dict)

    def check(self, predictions: Sequence[Prediction]) -> None:
        """DataError naming the predictions whose answer is not the one that was judged."""
        said = {row.id: answer_hash(row.response) for row in predictions}
        other = [id for id, judged in self.answers.items() if said.get(id, judged) != judged]
        if other:
            raise DataError(
                "verdicts",
                f"{len(other)} are about other answers: {', '.join(sorted(other)[:10])}",
                expected="verdicts about the answers of this predictions file",
                fix="run `affect-mllm judge` on it",
            )


def answer_hash(response: str) -> str:
    """What stands for an answer in its verdict."""
    return hashlib.sha256(response.encode()).hexdigest()[:16]


def read_verdicts(path: Path) -> Verdicts:
    """The verdicts of a file by one judge and one rubric.

    DataError lists, as `file:line`, each row that is not of the form above.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise unreadable(Path(path), error) from error
    except UnicodeDecodeError as error:
        raise unlike(Path(path), "UTF-8", error) from error
    found: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            problems += [f"{path}:{number}: {fault}" for fault in _add(found, line)]
    raise_problems(str(path), problems)
    by = {json.dumps([row[key] for key in _JUDGE], sort_keys=True) for row in found.values()}
    if len(by) > 1:
        raise DataError(
            str(path), f"several judges or rubrics: {sorted(by)}", expected="one for the whole file"
        )
    return Verdicts(
        {id: row["scores"] for id, row in found.items()},
        {id: row["answer"] for id, row in found.items()},
        dict(zip(_JUDGE, json.loads(by.pop()), strict=True)) if by else {},
    )


def scaled(
    samples: Sequence[Sample],
    verdicts: Mapping[str, Scores | None],
    bounds: Mapping[str, tuple[float, float]],
) -> list[Scores | None]:
    """Each sample's scores as fractions of `bounds`; None where the judge gave none.

    `verdicts` has the lowest scores for an answer that is not there (`eval/score/scoring.py` adds
    them): a sample without a row is one that the judge failed at. Raises DataError for a score
    outside its bounds or without any, and where more than 5 % of the samples have no verdict: a
    mean over the rest would be of chosen samples.
    """
    rows = [verdicts.get(sample.id) for sample in samples]
    failed = sum(row is None for row in rows)
    if failed > MAX_FAILED * len(rows):
        raise DataError(
            "verdicts",
            f"{failed} of {len(rows)} samples have none",
            expected=f"at most {MAX_FAILED:.0%} of them",
            fix="look at the judge's replies, or give --verdicts FILE of `affect-mllm judge`",
        )
    return [
        None if row is None else {name: _fraction(sample.id, name, row, bounds) for name in bounds}
        for sample, row in zip(samples, rows, strict=True)
    ]


def _fraction(id: str, name: str, row: Scores, bounds: Mapping[str, tuple[float, float]]) -> float:
    low, high = bounds[name]
    value = row.get(name)
    if value is None or not low <= value <= high:
        raise DataError(
            f"verdict of {id}, {name}", repr(value), expected=f"a number from {low:g} to {high:g}"
        )
    return (value - low) / (high - low)


def _add(found: dict[str, dict[str, Any]], line: str) -> Iterator[str]:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        yield f"not JSON ({error})"
        return
    scores = row.get("scores") if isinstance(row, dict) else None
    numbers = list(scores.values()) if isinstance(scores, dict) else [None]
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        yield "no id (a string)"
    elif row["id"] in found:
        yield f"id {row['id']!r} again"
    elif scores is not None and not all(map(finite, numbers)):
        yield f"{row['id']!r}: scores is neither null nor an object of finite numbers"
    elif lacking := [key for key in ("answer", *_JUDGE) if row.get(key) is None]:
        yield f"{row['id']!r}: no {', '.join(lacking)} (what was judged, by whom, how)"
    else:
        found[row["id"]] = {**row, "scores": scores}
