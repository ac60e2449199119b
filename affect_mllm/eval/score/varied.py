"""How much a score moves with the wording of the question, or when answers are drawn again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from statistics import mean, stdev
from typing import Any

from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.score.breakdowns import score_read
from affect_mllm.eval.score.paired import paired, with_holm
from affect_mllm.eval.score.statistics import stability
from affect_mllm.eval.task import Task

PLAIN = "plain"


def varied(
    task: Task, plain: Read, others: Mapping[str, Read], *, with_plain: bool
) -> dict[str, Any]:
    """What `results.json` has of the same rows asked in `others` ways beside the `plain` one.

    `rows` has each way's `metrics`, `status` and `paired`: the way minus the plain one, on the same
    samples, `p_holm` being adjusted for the number of ways. `best`, `worst` (None without a value)
    and `spread` are of the first metric over all ways, `with_plain` the plain one among them, and
    `stability` says on how many samples all of these are right or wrong together
    (`statistics.stability`).
    """
    compared = with_holm([_against(task, read, plain) for read in others.values()])
    rows = [
        {"name": name, **_scored(task, read), "paired": pair}
        for (name, read), pair in zip(others.items(), compared, strict=True)
    ]
    plainly = _scored(task, plain)
    reads = [plain, *others.values()] if with_plain else [*others.values()]
    counted = [{"name": PLAIN, **plainly}, *rows] if with_plain else rows
    metric, right = task.metrics[0], [read.right.tolist() for read in reads]
    values = {row["name"]: row["metrics"][metric]["value"] for row in counted}
    return {
        "metric": metric,
        PLAIN: plainly,
        "rows": rows,
        **_spread(values, lower_is_better=METRICS[metric].scale == "error"),
        "stability": asdict(stability([*zip(*right, strict=True)])),
    }


def _scored(task: Task, read: Read) -> dict[str, Any]:
    found = score_read(task, read)
    return {key: found[key] for key in ("n", "n_groups", "status", "metrics")}


def _against(task: Task, read: Read, plain: Read) -> dict[str, Any]:
    """`n10` counts the samples that only this way has right, `n01` those of the plain one alone."""
    found = paired(task, read, plain)
    return {key: found[key] for key in ("n", "n10", "n01", "metric", "p")}


def _spread(values: Mapping[str, float | None], *, lower_is_better: bool) -> dict[str, Any]:
    """The best and the worst way, and how far the values lie apart."""
    known = {name: value for name, value in values.items() if value is not None}
    if not known:
        return {"best": None, "worst": None, "spread": None}
    order = sorted(known, key=known.__getitem__, reverse=not lower_is_better)
    return {
        "best": {"name": order[0], "value": known[order[0]]},
        "worst": {"name": order[-1], "value": known[order[-1]]},
        "spread": {
            "n": len(known),
            "mean": mean(known.values()),
            "sd": stdev(known.values()) if len(known) > 1 else None,
            "range": max(known.values()) - min(known.values()),
        },
    }
