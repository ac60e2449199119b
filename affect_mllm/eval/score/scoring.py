"""Scores one set of predictions against a manifest, from files alone: no torch, no model."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import Any, Literal

from affect_mllm.eval.emotion_wheel import own
from affect_mllm.eval.emotion_wheel.tables import WheelTables
from affect_mllm.eval.files import rounded
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.metrics.intervals import measure
from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.official import Official
from affect_mllm.eval.predictions import Prediction, raise_problems, row_problems
from affect_mllm.eval.read.policies import POLICIES
from affect_mllm.eval.read.verdicts import Verdicts, scaled
from affect_mllm.eval.score.breakdowns import breakdowns, entry, groups_of, score_read
from affect_mllm.eval.score.one_answer import READ, answers_of, ranked
from affect_mllm.eval.task import Task
from affect_mllm.log import LOGGER
from affect_mllm.types import ConfigError, DataError, Sample

Compat = Literal["none", "official", "lmms-eval", "vlmevalkit"]


def score(
    task: Task,
    samples: Sequence[Sample],
    predictions: Sequence[Prediction],
    *,
    compat: Compat = "none",
    tables: WheelTables | None = None,
    verdicts: Verdicts | None = None,
) -> dict[str, Any]:
    """The content of `results.json` for one benchmark; the order of the inputs has no effect.

    `samples` is the whole manifest. A sample without a prediction is a wrong answer of status
    "missing" and lowers `coverage`; where a judge scores, it has the lowest scores. A prediction
    for a row that the task does not count is left out and counted in `n_outside`. `tables` are
    emotion-wheel tables (ours by default), `verdicts` a judge's scores by id. With another `compat`
    the metrics are the publisher's or that toolkit's, and `official` puts each beside ours; parts,
    recalls and confusion stay ours. Raises DataError for unknown or repeated ids and for
    predictions of several prompts or checkpoints in one file, ConfigError where there is no such
    scorer or it needs tables that were not given.
    """
    scorer = None if compat == "none" else _scorer(task, compat, tables)
    check_rows(predictions, {s.id for s in samples})
    ours = tables if scorer is None else own.own_tables()
    read = read_answers(task, samples, predictions, tables=ours, verdicts=verdicts)
    result = result_of(task, read, predictions)
    if verdicts is not None and task.verdicts:
        result["verdicts"] = dict(verdicts.by)
    if scorer is not None:
        theirs = _theirs(task, scorer, read, tables=tables, ours=result["metrics"])
        result |= {"compat": compat} | theirs
    return rounded(result)


def check_rows(predictions: Sequence[Prediction], known: Set[str]) -> None:
    """DataError naming the predictions of unknown or repeated ids."""
    raise_problems("predictions", list(row_problems(list(predictions), known)))


def result_of(task: Task, read: Read, predictions: Sequence[Prediction]) -> dict[str, Any]:
    """What `score` gives of answers that are read, by our rules, not rounded yet."""
    answered = sum(status != "missing" for status in read.status)
    outside = len(predictions) - answered
    _warn(task, missing=len(read) - answered, outside=outside)
    result = {
        "benchmark": task.name,
        "version": task.version,
        "kind": task.kind,
        "protocol": task.status,
        "compat": "none",
        "synthetic": task.synthetic,
        "checkpoint": _only(predictions, "checkpoint"),
        "prompt_hash": _only(predictions, "prompt_hash"),
        "extraction": _extraction(predictions, task.policy),
        "truth_hash": truth_hash(read),
        "modalities": sorted({name for row in predictions for name in row.modalities}),
        "coverage": answered / len(read),
        "n_outside": outside,
        **score_read(task, read),
        "breakdowns": breakdowns(task, read),
    }
    if task.kind == "open_vocabulary":
        result["emotion_wheel"] = _wheel(read)
    return result


def truth_hash(read: Read) -> str:
    """Which samples were scored by which labels: a hash of their ids and truths."""
    rows = sorted(zip((sample.id for sample in read.samples), read.truth, strict=True))
    text = json.dumps(rows, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def read_answers(
    task: Task,
    samples: Sequence[Sample],
    predictions: Sequence[Prediction],
    *,
    tables: WheelTables | None = None,
    verdicts: Verdicts | None = None,
    policy: str | None = None,
) -> Read:
    """Select the task's samples and read each one's answer, by the task's policy or another."""
    chosen = task.select(samples)
    truth = [task.truth_of(sample) for sample in chosen]
    return read_beside(
        task, chosen, truth, predictions, tables=tables, verdicts=verdicts, policy=policy
    )


def read_beside(
    task: Task,
    chosen: Sequence[Sample],
    truth: Sequence[Any],
    predictions: Sequence[Prediction],
    *,
    tables: WheelTables | None = None,
    verdicts: Verdicts | None = None,
    policy: str | None = None,
) -> Read:
    """The same for samples that the task has selected, with the truth of each."""
    by_id = {prediction.id: prediction for prediction in predictions}
    rows = [ranked(task, by_id[s.id]) if s.id in by_id else None for s in chosen]
    found = answers_of(task, chosen, rows, policy=policy or task.policy)
    low, high = task.scale
    return Read(
        samples=list(chosen),
        predictions=rows,
        truth=list(truth),
        answers=[None if each is None else each.value for each in found],
        status=["missing" if each is None else each.status for each in found],
        labels=() if task.kind == "open_vocabulary" else task.labels,
        low=low,
        high=high,
        tables=tables or own.own_tables(),
        graded=task.graded,
        verdicts=_judged(task, chosen, rows, verdicts or Verdicts({})) if task.verdicts else [],
    )


def _judged(
    task: Task,
    chosen: Sequence[Sample],
    rows: Sequence[Prediction | None],
    verdicts: Verdicts,
) -> list[Mapping[str, float] | None]:
    """Each sample's scores as fractions; the lowest ones where there is nothing to judge."""
    verdicts.check([row for row in rows if row is not None])
    lowest = {name: low for name, (low, _) in task.verdicts.items()}
    absent = {s.id: lowest for s, row in zip(chosen, rows, strict=True) if row is None}
    return scaled(chosen, {**verdicts.scores, **absent}, task.verdicts)


def _theirs(
    task: Task,
    official: Official,
    read: Read,
    *,
    tables: WheelTables | None,
    ours: Mapping[str, Any],
) -> dict[str, Any]:
    """The other scorer's metrics in place of ours, and each beside ours."""
    policy = official.extraction or task.policy
    predictions = [each for each in read.predictions if each is not None]
    theirs = read_beside(task, read.samples, read.truth, predictions, tables=tables, policy=policy)
    metrics = {name: METRICS[formula] for name, formula in official.metrics.items()}
    measured = measure(theirs, metrics, groups_of(task, theirs))
    found = {name: entry(name, interval, theirs) for name, interval in measured.items()}
    wheel = {"emotion_wheel": _wheel(theirs)} if task.kind == "open_vocabulary" else {}
    return wheel | {
        "metrics": found,
        "extraction": _extraction(predictions, policy),
        "official": {
            "source": official.source,
            "differences": list(official.differences),
            "table": {name: _beside(ours.get(name), each) for name, each in found.items()},
        },
    }


def _beside(ours: Mapping[str, Any] | None, theirs: Mapping[str, Any]) -> dict[str, Any]:
    mine, value = (ours or {}).get("value"), theirs["value"]
    gap = None if mine is None or value is None else value - mine
    n_ours = (ours or {}).get("n")
    return {"ours": mine, "official": value, "difference": gap, "n_ours": n_ours,
            "n_official": theirs["n"]}  # fmt: skip


def _scorer(task: Task, compat: Compat, tables: WheelTables | None) -> Official:
    """The scorer of that name; ConfigError where there is none, or its tables are missing."""
    known = task.scorers
    if compat not in known:
        none = "no published scorer" if compat == "official" else f"no scorer of {compat}"
        raise ConfigError(
            f"benchmark {task.name}, compat",
            compat,
            expected=f"one of {['none', *known]}: this benchmark has {none}",
        )
    if known[compat].tables and tables is None:
        raise ConfigError(
            f"benchmark {task.name}, compat official",
            "no published emotion-wheel tables",
            fix="give the publisher's folder: --wheel-tables DIR",
        )
    return known[compat]


def _warn(task: Task, *, missing: int, outside: int) -> None:
    if missing:
        LOGGER.warning("%s: %d samples have no prediction; they count as wrong", task.name, missing)
    if outside:
        LOGGER.warning("%s: %d predictions are for rows outside the task", task.name, outside)


def _wheel(read: Read) -> dict[str, Any]:
    """Which tables were used, and how much of the words they have."""
    said = [label for answer in read.answers for label in (answer or ())]  # type: ignore[union-attr]
    true = [label for truth in read.truth for label in truth]
    found: dict[str, Any] = {"tables": read.tables.name, "version": read.tables.version}
    for name, labels in (("truth", true), ("answers", said)):
        lacking = {k: n for k, n in Counter(labels).items() if not read.tables.has(k)}
        found[f"{name}_coverage"] = 1 - sum(lacking.values()) / max(len(labels), 1)
        found[f"{name}_lacking"] = dict(sorted(lacking.items(), key=lambda i: (-i[1], i[0]))[:20])
    return found


def _extraction(predictions: Sequence[Prediction], policy: str) -> str:
    """Who read the answers: what the predictions name, if their labels are taken, or the policy."""
    named = None if POLICIES[policy].gives in READ else _only(predictions, "extraction")
    return policy if named is None else str(named)


def _only(
    predictions: Sequence[Prediction], name: Literal["checkpoint", "prompt_hash", "extraction"]
) -> Any:
    """The one value that all predictions share; DataError if there are several."""
    values = {getattr(row, name) for row in predictions}
    if len(values) > 1:
        raise DataError(
            "predictions", f"{name}: {sorted(map(str, values))}", expected="one for the whole file"
        )
    return values.pop() if values else None
