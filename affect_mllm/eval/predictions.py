"""`predictions.jsonl`: reading it with every fault named."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affect_mllm.data.row_checks import text_problems
from affect_mllm.eval.prediction_forms import Form, placed_rows
from affect_mllm.types import DataError, finite

_SHOWN_PROBLEMS = 50


@dataclass(frozen=True)
class Prediction:
    """One answer. `labels` stands where extraction was done elsewhere (`extraction` names it),
    `scores` (label → number, such as a log-likelihood) where labels were compared instead of
    generated, `ranking` (labels, the best first) where they were ordered. `finish_reason` says how
    generation ended: "length" where a limit cut the answer off. `confidence` is the model's own,
    from 0 to 1. `gate` maps a modality to the weights of its experts; `line` is the row's place,
    `FILE:LINE`."""

    id: str
    response: str = ""
    labels: tuple[str, ...] | None = None
    scores: dict[str, float] = field(default_factory=dict)
    ranking: tuple[str, ...] = ()
    finish_reason: str | None = None
    confidence: float | None = None
    prompt_hash: str | None = None
    checkpoint: str | None = None
    extraction: str | None = None
    modalities: tuple[str, ...] = ()
    gate: dict[str, Any] = field(default_factory=dict)
    line: str = ""


def read_predictions(
    path: Path, *, known_ids: Collection[str] | None = None, form: Form | None = None
) -> list[Prediction]:
    """Every row of a predictions file (JSON lines or a table) of `form`, in its order.

    Raises DataError that lists, as `file:line`, each row that is not JSON, has no id or answer,
    repeats an id, or (where `known_ids` is given) has an id that is not among them.
    """
    path = Path(path)
    problems: list[str] = []
    found: list[Prediction] = []
    for place, row in placed_rows(path, form or Form()):
        try:
            found.append(_prediction(row, place))
        except ValueError as error:
            problems.append(f"{place}: {error}")
    problems.extend(row_problems(found, known_ids))
    raise_problems(str(path), problems)
    return found


def row_problems(rows: list[Prediction], known_ids: Collection[str] | None) -> Iterator[str]:
    """One line for each repeated id and, where `known_ids` is given, each unknown one."""
    first: dict[str, Prediction] = {}
    for row in rows:
        place = row.line or row.id
        if row.id in first:
            earlier = first[row.id].line
            yield f"{place}: id {row.id!r} again" + (f", first at {earlier}" if earlier else "")
        elif known_ids is not None and row.id not in known_ids:
            yield f"{place}: id {row.id!r} is not in the manifest"
        first.setdefault(row.id, row)


def raise_problems(where: str, problems: list[str]) -> None:
    """DataError with all `problems` in the order of their lines, if there are any."""
    if not problems:
        return
    problems = sorted(problems, key=_line_order)
    shown = problems[:_SHOWN_PROBLEMS]
    if len(problems) > len(shown):
        shown.append(f"… and {len(problems) - len(shown)} more")
    raise DataError(
        where,
        f"{len(problems)} bad rows\n    " + "\n    ".join(shown),
        expected='one JSON object a line: {"id": …, "response": …}, each id of the manifest once',
    )


def softmax(scores: Mapping[str, float]) -> dict[str, float]:
    """Shares in proportion to the exponentials of `scores`, such as log-likelihoods."""
    top = max(scores.values())
    weights = {name: math.exp(score - top) for name, score in scores.items()}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _prediction(row: dict[str, Any] | str, place: str) -> Prediction:
    """The prediction of one row; ValueError says what is wrong with it."""
    if isinstance(row, str):
        raise ValueError(row)
    if (half := next(text_problems(row), None)) is not None:
        raise ValueError(f"{row['id']!r}: {half}")
    labels, scores, confidence = row.get("labels"), row.get("scores"), row.get("confidence")
    ranking = row.get("ranking")
    if labels is None and not scores and not ranking and not isinstance(row.get("response"), str):
        raise ValueError(
            f"{row['id']!r} has neither a response (a string), labels, scores nor ranking"
        )
    if labels is not None and not (_strings(labels)):
        raise ValueError(f"{row['id']!r}: labels is not a list of strings")
    if ranking is not None and not (_strings(ranking) and len({*ranking}) == len(ranking)):
        raise ValueError(f"{row['id']!r}: ranking is not a list of different strings")
    if scores is not None and not (isinstance(scores, dict) and all(map(finite, scores.values()))):
        raise ValueError(f"{row['id']!r}: scores is not an object of finite numbers")
    if confidence is not None and not (finite(confidence) and 0 <= confidence <= 1):
        raise ValueError(f"{row['id']!r}: confidence is not a number from 0 to 1")
    return Prediction(
        id=row["id"],
        response=str(row.get("response") or ""),
        labels=None if labels is None else tuple(labels),
        scores={name: float(value) for name, value in (scores or {}).items()},
        ranking=tuple(ranking or ()),
        finish_reason=_text(row, "finish_reason"),
        confidence=None if confidence is None else float(confidence),
        prompt_hash=_text(row, "prompt_hash"),
        checkpoint=_text(row, "checkpoint"),
        extraction=_text(row, "extraction"),
        modalities=tuple(row["modalities"]) if _strings(row.get("modalities")) else (),
        gate=row["gate"] if isinstance(row.get("gate"), dict) else {},
        line=place,
    )


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _text(row: dict[str, Any], key: str) -> str | None:
    return None if row.get(key) is None else str(row[key])


def _line_order(problem: str) -> tuple[str, int]:
    """Sort key: file, then line as a number."""
    parts = problem.split(": ", 1)[0].rsplit(":", 1)
    return (parts[0], int(parts[1])) if len(parts) == 2 and parts[1].isdigit() else (problem, 0)
