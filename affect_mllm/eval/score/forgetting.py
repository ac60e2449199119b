"""What the stages of a run won on emotion and lost on general ability, before and after each.

A difference is that of a benchmark's first metric on the same samples, better being positive; of
several benchmarks it is their unweighted mean, whose interval takes them as independent: its half
width is the root of the sum of their squares, over their number.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from pathlib import Path
from typing import Any

from affect_mllm.eval.benchmarks import load_suite
from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.score.against import told
from affect_mllm.eval.score.paired import with_holm
from affect_mllm.eval.score.runs import Run, lineage, runs_in

UNTRAINED, GENERAL = "untrained", "general"
SIDES = ("emotion", "general")
_SURE = 0.05


@dataclass(frozen=True, eq=False)
class Asked:
    """What one checkpoint was asked: runs by benchmark, of its model before training, too.

    `parents` are the hashes of the checkpoints that it was trained from, the nearest first.
    """

    name: str
    runs: Mapping[str, Run]
    untrained: Mapping[str, Run]
    parents: tuple[str, ...]

    @classmethod
    def of(cls, path: Path, name: str) -> Asked:
        """From a folder with the results of `eval.py`. DataError for another one."""
        every = runs_in(path, name, "all")
        return cls(
            name,
            {run.task.name: run for run in every if run.variant == run.files["reference"]},
            {run.task.name: run for run in every if run.variant == UNTRAINED},
            tuple(parent for entry in reversed(lineage(path)) if (parent := entry.get("parent"))),
        )

    @property
    def checkpoint(self) -> str | None:
        return next(iter(self.runs.values())).result.get("checkpoint")


@dataclass(frozen=True)
class _Before:
    """What a checkpoint is held against."""

    name: str
    runs: Mapping[str, Run]


def forgetting(asked: Sequence[Asked], across: Collection[str] = ()) -> list[dict[str, Any]]:
    """The rows {"run", "before", "emotion", "general", "rows"}; [] if a side was never asked.

    Each checkpoint stands against the one of `asked` that it was trained from, else against its
    model before training, else against the first; the end of several stages against their
    beginning, too. A side has the mean `value` with `ci_low` and `ci_high`, its number of
    `benchmarks`, and which of them were `won` and `lost` beyond chance (`p_holm`, adjusted for the
    row's benchmarks, below 0.05); None where nothing is comparable. `rows` are the benchmarks, as
    `against.told` gives them, with `side` and whether they are `counted`: metrics that are no
    shares are not.
    """
    pairs = list(_pairs(asked))
    if len({name for one, _ in pairs for name in one.runs}) < 2:  # not of both sides
        return []
    general = {*load_suite(GENERAL).benchmarks}
    rows = [_row(one, before, general, across) for one, before in pairs]
    sides = {each["side"] for row in rows for each in row["rows"]}
    return rows if sides == {*SIDES} else []


def _pairs(asked: Sequence[Asked]) -> Iterator[tuple[Asked, _Before]]:
    parents = {one: parent for one in asked if (parent := _parent(one, asked))}
    for one in asked:
        if one in parents:
            yield one, _Before(parents[one].name, parents[one].runs)
            if one not in parents.values():
                yield from ((one, start) for start in _start(one, parents))
        elif one.untrained:
            yield one, _untrained(one)
        elif one is not asked[0]:
            yield one, _Before(asked[0].name, asked[0].runs)


def _start(last: Asked, parents: Mapping[Asked, Asked]) -> Iterator[_Before]:
    """Where the stages that end with `last` began, if that is not the one just before it."""
    root = parents[last]
    while root in parents:
        root = parents[root]
    if root.untrained:
        yield _untrained(root)
    elif root is not parents[last]:
        yield _Before(root.name, root.runs)


def _untrained(one: Asked) -> _Before:
    return _Before(f"{one.name} before training", one.untrained)


def _parent(one: Asked, asked: Sequence[Asked]) -> Asked | None:
    by_hash = {each.checkpoint: each for each in asked if each is not one}
    return next((by_hash[hash] for hash in one.parents if hash in by_hash), None)


def _row(
    one: Asked, before: _Before, general: Collection[str], across: Collection[str]
) -> dict[str, Any]:
    names = dict.fromkeys((*before.runs, *one.runs))
    rows = with_holm([{"p": None} | _difference(one, before, name, across) for name in names])
    rows = [each | {"side": SIDES[each["benchmark"] in general]} for each in rows]
    return {
        "run": one.name,
        "before": before.name,
        **{side: _side([each for each in rows if each["side"] == side]) for side in SIDES},
        "rows": rows,
    }


def _difference(one: Asked, before: _Before, name: str, across: Collection[str]) -> dict[str, Any]:
    """Of one benchmark; `better` is the difference with the sign of what is better."""
    if not (name in one.runs and name in before.runs):
        lacking = one.name if name in before.runs else before.name
        why = f"{lacking} was not asked"
        return {"benchmark": name, "comparable": False, "counted": False, "reasons": [why]}
    found = told(before.runs[name], one.runs[name], across=across)
    kept = {key: found[key] for key in ("benchmark", "comparable", "reasons", "notes")}
    if not found["comparable"]:
        return kept | {"counted": False}
    name, value = found["metric"], found["difference"]["value"]
    metric = METRICS[name]
    share = metric.worst is not None and max(metric.best, metric.worst) <= 1
    sign = -1 if metric.worst is not None and metric.best < metric.worst else 1
    return kept | {
        "counted": share and value is not None,
        "metric": name,
        **{key: found[key] for key in ("n", "left_out", "difference", "p")},
        "metrics": {side: {name: each[name]} for side, each in found["metrics"].items()},
        "better": None if value is None else sign * value,
    }


def _side(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    found = [each for each in rows if each["counted"]]
    if not found:
        return None
    value = sum(each["better"] for each in found) / len(found)
    reaches = [_reach(each["difference"]) for each in found]
    known = [each for each in reaches if each is not None]
    reach = hypot(*known) / len(found) if len(known) == len(found) else None
    sure = [each for each in found if each["p_holm"] is not None and each["p_holm"] < _SURE]
    return {
        "value": value,
        "ci_low": None if reach is None else value - reach,
        "ci_high": None if reach is None else value + reach,
        "benchmarks": len(found),
        "won": [each["benchmark"] for each in sure if each["better"] > 0],
        "lost": [each["benchmark"] for each in sure if each["better"] < 0],
    }


def _reach(difference: Mapping[str, Any]) -> float | None:
    """Half the width of its interval; None where there is none."""
    if difference["ci_low"] is None:
        return None
    return (difference["ci_high"] - difference["ci_low"]) / 2
