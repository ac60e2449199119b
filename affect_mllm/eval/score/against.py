"""Runs against each other: whether they may be compared, and on the samples that both have."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from affect_mllm.eval.metrics import classes
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.metrics.intervals import measure
from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.score.breakdowns import entry, groups_of, part_columns, rows_of
from affect_mllm.eval.score.paired import paired, with_holm
from affect_mllm.eval.score.runs import Run, value_of
from affect_mllm.eval.task import Task
from affect_mllm.types import ConfigError, DataError

UNKNOWN = "not recorded"
# What a user may compare across on purpose: the measure stays the same.
PERMITTED = ("prompt", "subset", "extraction")
# Of a task, what is no part of the measure, or is looked at by itself.
_APART = {"name", "version", "question", "extraction", "split", "source", "status", "manifest"}
_APART |= {"ids", "official", "toolkits", "breakdowns", "require", "decoding", "max_new_tokens"}
_APART |= {"language"}  # every one has a prompt of its own
TRUE_CLASS = "true class"


@dataclass(frozen=True)
class Reason:
    """Why two runs are not alike: in what (`kind`), and a sentence."""

    kind: str
    text: str


def facts(run: Run) -> dict[str, str]:
    """What has to be the same for two runs' numbers to be compared, as texts by kind."""
    result, wheel = run.result, run.result.get("emotion_wheel")
    seen = result.get("modalities")
    if seen is None and run.variant and set(run.variant.split("+")) <= {"face", "audio", "text"}:
        seen = run.variant.split("+")
    defined = {key: value for key, value in asdict(run.task).items() if key not in _APART}
    return {
        "benchmark": run.task.name,
        "version": run.task.version,
        "definition": json.dumps(defined, sort_keys=True, default=str),
        "split": run.task.split or "all rows",
        "rules": "ours" if result["compat"] == "none" else result["official"]["source"],
        "tables": "none" if wheel is None else f"{wheel['tables']} {wheel['version']}",
        "judge": json.dumps(result.get("verdicts") or "none", sort_keys=True),
        "prompt": result.get("prompt_hash") or UNKNOWN,
        "subset": "+".join(sorted(seen)) if seen else UNKNOWN,
        "extraction": result["extraction"],
    }


def reasons(first: Run, other: Run) -> list[Reason]:
    """In what `other` differs from `first`; none where the numbers may stand side by side."""
    ours, theirs = facts(first), facts(other)
    return [
        Reason(kind, _said(kind, first, other, theirs[kind], ours[kind]))
        for kind in ours
        if ours[kind] != theirs[kind]
    ]


def _said(kind: str, first: Run, other: Run, theirs: str, ours: str) -> str:
    if kind != "definition":
        return f"another {kind}: {theirs} instead of {ours}"
    mine, its = asdict(first.task), asdict(other.task)
    keys = [key for key in mine if key not in _APART and mine[key] != its[key]]
    return f"its benchmark differs in {', '.join(keys)}"


def check_across(across: Collection[str]) -> None:
    """ConfigError for what cannot be compared across."""
    if unknown := sorted(set(across) - set(PERMITTED)):
        raise ConfigError("--across", ", ".join(unknown), expected=f"some of {PERMITTED}")


def against(
    first: Run,
    other: Run,
    *,
    metric: str | None = None,
    across: Collection[str] = (),
    parts: bool = True,
) -> dict[str, Any]:
    """`other` minus `first` on the samples that both have, or `reasons` why that means nothing.

    `n` counts these samples, `left_out` those of each run that the other one lacks. `metrics` has
    both values and `difference` that of `metric` (the task's first) with its interval and p;
    `only_first` and `only_this` are the ids that one of the two has right; `parts` the same by
    part, `p_holm` adjusted for how many parts a key has. What is compared `across` on purpose,
    or is not known to be the same, is in `notes`. DataError where a run's answers are gone.
    """
    found = reasons(first, other)
    texts = [each.text for each in found if each.kind not in across]
    notes = [each.text for each in found if each.kind in across]
    names = {"benchmark": first.task.name, "first": first.name, "run": other.name}
    if texts:
        return names | {"comparable": False, "reasons": texts, "notes": notes}
    base, read, left_out = common(first.read, other.read)
    if wrong := _other_truth(base, read):
        texts = [f"other labels: {wrong[0]}" + (f" and {len(wrong) - 1} more" if wrong[1:] else "")]
    elif not len(base):
        texts = ["no sample in common"]
    if texts:
        return names | {"comparable": False, "reasons": texts, "notes": notes}
    notes += _unknown(first, other)
    task = _measured_by(first.task, metric)
    pair = paired(task, read, base)
    return names | {
        "comparable": True,
        "reasons": [],
        "notes": notes,
        "n": len(base),
        "n_groups": len(set(groups_of(task, base))),
        "left_out": left_out,
        "metric": task.metrics[0],
        "difference": pair["metric"],
        "p": pair["p"],
        "metrics": {"first": _values(task, base), "run": _values(task, read)},
        "only_first": _ids(base, base.right & ~read.right),
        "only_this": _ids(base, read.right & ~base.right),
        "parts": [*_parts(task, base, read)] if parts else [],
    }


def told(first: Run, other: Run, *, across: Collection[str] = ()) -> dict[str, Any]:
    """The same for a page: without parts, and a run whose answers are gone says so."""
    try:
        return against(first, other, across=across, parts=False)
    except DataError as error:
        names = {"benchmark": first.task.name, "first": first.name, "run": other.name}
        return names | {"comparable": False, "reasons": [str(error)], "notes": []}


def common(first: Read, other: Read) -> tuple[Read, Read, dict[str, int]]:
    """Both cut to the samples that they share, in one order; how many each had besides."""
    places = {sample.id: at for at, sample in enumerate(other.samples)}
    rows = [at for at, sample in enumerate(first.samples) if sample.id in places]
    base = first.take(rows)
    read = other.take([places[sample.id] for sample in base.samples])
    return base, read, {"first": len(first) - len(base), "run": len(other) - len(base)}


def _other_truth(base: Read, read: Read) -> list[str]:
    pairs = zip(base.samples, base.truth, read.truth, strict=True)
    return [f"{s.id} is {b!r} instead of {a!r}" for s, a, b in pairs if a != b]


def _unknown(first: Run, other: Run) -> Iterator[str]:
    """What is not known to be the same: neither run recorded it."""
    pairs = facts(first), facts(other)
    if unknown := [kind for kind in PERMITTED if all(each[kind] == UNKNOWN for each in pairs)]:
        yield f"neither run records its {' and '.join(unknown)}"


def _measured_by(task: Task, metric: str | None) -> Task:
    """The task with that metric first."""
    if metric is None or metric == task.metrics[0]:
        return task
    if metric not in task.metrics:
        raise ConfigError("--metric", metric, expected=f"one of {list(task.metrics)}")
    return replace(task, metrics=(metric, *(each for each in task.metrics if each != metric)))


def _values(task: Task, read: Read) -> dict[str, Any]:
    measured = measure(read, {name: METRICS[name] for name in task.metrics}, groups_of(task, read))
    return {name: entry(name, found, read) for name, found in measured.items()}


def _ids(read: Read, chosen: np.ndarray) -> list[str]:
    return [sample.id for sample, one in zip(read.samples, chosen, strict=True) if one]


def _parts(task: Task, base: Read, read: Read) -> Iterator[dict[str, Any]]:
    """By the task's breakdowns, source and language; of classes also by the true one."""
    for key, values in part_columns(task, base).items():
        yield from _part_rows(task, key, values, (base, read))
    if task.kind in classes.KINDS:
        by_class = replace(task, metrics=("accuracy",))
        values = [(str(truth),) for truth in base.truth]
        yield from _part_rows(by_class, TRUE_CLASS, values, (base, read))


def _part_rows(
    task: Task, key: str, values: Sequence[tuple[str, ...]], reads: tuple[Read, Read]
) -> list[dict[str, Any]]:
    found = []
    for part, rows in rows_of(values).items():
        base, read = (each.take(rows) for each in reads)
        pair = paired(task, read, base)
        found.append(
            {
                "key": key,
                "part": part,
                "n": len(base),
                "first": value_of(task.metrics[0], base),
                "this": value_of(task.metrics[0], read),
                "difference": pair["metric"],
                "only_first": pair["n01"],
                "only_this": pair["n10"],
                "p": pair["p"],
            }
        )
    return with_holm(found)


def compared(
    runs: Sequence[Run], *, metric: str | None = None, across: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Each run against the first one of its benchmark, `p_holm` adjusted for how many there are."""
    check_across(across)
    found: list[dict[str, Any]] = []
    for name in dict.fromkeys(run.task.name for run in runs):
        first, *others = [run for run in runs if run.task.name == name]
        rows = [against(first, other, metric=metric, across=across) for other in others]
        found += with_holm([{"p": None} | row for row in rows])
    return found


def differing(runs: Sequence[Run], rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each sample that only one of two compared runs has right, with both answers."""
    for row in rows:
        if not row["comparable"]:
            continue
        pair = [next(run for run in runs if run.task.name == row["benchmark"] and run.name == name)
                for name in (row["first"], row["run"])]  # fmt: skip
        base, read, _ = common(pair[0].read, pair[1].read)
        right = {"first": {*row["only_first"]}, "run": {*row["only_this"]}}
        for at, sample in enumerate(base.samples):
            who = next((side for side, ids in right.items() if sample.id in ids), None)
            if who is not None:
                names = {key: row[key] for key in ("benchmark", "first", "run")}
                told = {"id": sample.id, "group": sample.group, "right": row[who]}
                yield names | told | {"truth": base.truth[at], "answers": {
                    row[side]: _answer(each, at)
                    for side, each in (("first", base), ("run", read))
                }}  # fmt: skip


def _answer(read: Read, at: int) -> dict[str, Any]:
    said = read.predictions[at]
    response = None if said is None else said.response
    return {"answer": read.answers[at], "status": read.status[at], "response": response}
