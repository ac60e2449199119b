"""Many runs in tables of those that are comparable: the best first, with what makes it so."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.score.against import UNKNOWN, check_across, facts, reasons
from affect_mllm.eval.score.runs import Run

Key = tuple[str | None, ...]


def board(runs: Sequence[Run], *, across: Collection[str] = ()) -> list[dict[str, Any]]:
    """Groups of comparable runs, by benchmark, the largest group of each first.

    A group has `benchmark`, `version`, `metrics`, what its runs share (`shared`: prompt, subset …,
    or None where it was compared `across`), `apart` (why it is none with its benchmark's first
    group) and `rows`, ranked by the first metric: run, n, coverage, unread (share of the samples
    whose answer was not read), checkpoint, prompt and metrics with their intervals.
    """
    check_across(across)
    groups: dict[str, dict[Key, list[Run]]] = {}
    for run in runs:
        groups.setdefault(run.task.name, {}).setdefault(_key(run, across), []).append(run)
    found = []
    for of_benchmark in groups.values():
        ordered = sorted(of_benchmark.values(), key=len, reverse=True)
        found += [_group(members, ordered[0][0], across) for members in ordered]
    return found


def _key(run: Run, across: Collection[str]) -> Key:
    """What a group's runs have in common: the facts, and the samples with their labels."""
    known = run.truth
    told = tuple(value for kind, value in facts(run).items() if kind not in across)
    return (known or f"only {run.path}", *told)


def _group(members: Sequence[Run], top: Run, across: Collection[str]) -> dict[str, Any]:
    one = members[0]
    shared = facts(one)
    return {
        "benchmark": one.task.name,
        "version": one.task.version,
        "protocol": one.task.status,
        "synthetic": one.task.synthetic,
        "metrics": list(one.metrics),
        "n": one.result["n"],
        "n_groups": one.result["n_groups"],
        "truth_hash": one.truth,
        "shared": {
            kind: None if kind in across else shared[kind]
            for kind in ("split", "rules", "prompt", "subset", "extraction")
        },
        "apart": [*_apart(one, top, across)] if one is not top else [],
        "rows": [_row(run) for run in sorted(members, key=_rank)],
    }


def _apart(one: Run, top: Run, across: Collection[str]) -> Iterator[str]:
    yield from (each.text for each in reasons(top, one) if each.kind not in across)
    if None in (one.truth, top.truth):
        yield "its samples and labels are not recorded"
    elif one.truth != top.truth:
        mine, its = (f"{each.result['n']} samples ({each.truth})" for each in (one, top))
        yield f"other samples or labels: {mine} instead of {its}"


def _rank(run: Run) -> tuple[bool, float, str]:
    """Best first, without a value last, equal ones by name."""
    name, found = next(iter(run.metrics.items()))
    value = found["value"]
    if value is None:
        return True, 0.0, run.name
    return False, value if METRICS[name].best == 0 else -value, run.name


def _row(run: Run) -> dict[str, Any]:
    result = run.result
    unread = next(iter(run.metrics.values()))["n_unparsed"]
    return {
        "run": run.name,
        "n": result["n"],
        "coverage": result["coverage"],
        "n_unparsed": unread,
        "unread": unread / result["n"],
        "checkpoint": result.get("checkpoint") or UNKNOWN,
        "prompt": result.get("prompt_hash") or UNKNOWN,
        "subset": facts(run)["subset"],
        "extraction": result["extraction"],
        "metrics": {
            name: {key: found[key] for key in ("value", "ci_low", "ci_high", "n")}
            for name, found in run.metrics.items()
        },
    }
