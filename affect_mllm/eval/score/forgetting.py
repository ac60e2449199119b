"""What later runs won on emotion and lost on general ability, from their differences to the first.

A difference is that of a benchmark's first metric on the same samples, better being positive; of
several benchmarks it is their unweighted mean, whose interval takes them as independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isnan
from typing import Any

from affect_mllm.eval.benchmarks import load_suite, suite_names
from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.score.suite import reach_of

UNTRAINED, GENERAL = "untrained", "general"
SIDES = ("emotion", "general")
_SURE = 0.05


def balance(against: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each later run: {"run", "emotion", "general", "absent"}; [] without both sides.

    `against` has for each benchmark of the first run the other runs' differences to it, as
    `report.reads.against_first` gives them. A side has the mean `value` with `ci_low` and
    `ci_high`, its number of benchmarks, and which of them were `won` and `lost` beyond chance (p
    adjusted, below 0.05). Metrics that are no shares are left out of the mean and named in
    `absent`, as are benchmarks that cannot be compared.
    """
    general = {*load_suite(GENERAL).benchmarks} if GENERAL in suite_names() else set()
    rows: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for entry in against:
        side = "general" if entry["benchmark"] in general else "emotion"
        for row in entry["rows"]:
            sides = rows.setdefault(row["run"], {name: [] for name in (*SIDES, "absent")})
            found = _difference(entry, row)
            sides["absent" if found is None else side].append(found or dict(entry))
    if not all(any(sides[name] for sides in rows.values()) for name in SIDES):
        return []
    return [
        {
            "run": run,
            **{name: _side(sides[name]) for name in SIDES},
            "absent": [entry["benchmark"] for entry in sides["absent"]],
        }
        for run, sides in rows.items()
    ]


def against_untrained(
    runs: Sequence[tuple[str, Mapping[str, Mapping[str, Any]]]],
) -> list[dict[str, Any]]:
    """The same entries of runs that each asked their model before training, too (`untrained`).

    `runs` are names with the benchmarks of their results; [] where none did.
    """
    found: dict[str, dict[str, Any]] = {}
    for run, benchmarks in runs:
        for name, summary in benchmarks.items():
            entry = {"benchmark": name, "metric": summary["task"]["metrics"][0], "rows": []}
            for each in summary["comparisons"]:
                if each["other"] == UNTRAINED:
                    row = {"run": run, **each["metric"], "p": each["p"], "p_holm": each["p_holm"]}
                    found.setdefault(name, entry)["rows"].append(row)
    return list(found.values())


def _difference(entry: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any] | None:
    metric = METRICS[entry["metric"]]
    value, worst = row.get("value"), metric.worst
    if value is None or isnan(value) or worst is None or max(metric.best, worst) > 1:
        return None
    sign = 1 if metric.best > worst else -1
    found = {"benchmark": entry["benchmark"], "value": sign * value, "se": row.get("se")}
    p = row.get("p_holm", row.get("p"))
    return found | {"sure": p is not None and p < _SURE}


def _side(found: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    if not found:
        return None
    value = sum(each["value"] for each in found) / len(found)
    errors = [each["se"] for each in found if each["se"] is not None]
    known = len(errors) == len(found)
    reach = reach_of(errors, [inf] * len(errors)) if known else None
    return {
        "value": value,
        "ci_low": None if reach is None else value - reach,
        "ci_high": None if reach is None else value + reach,
        "benchmarks": len(found),
        "won": [each["benchmark"] for each in found if each["sure"] and each["value"] > 0],
        "lost": [each["benchmark"] for each in found if each["sure"] and each["value"] < 0],
    }
