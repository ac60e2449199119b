"""Two runs over the same samples side by side: counts, difference, interval and p."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.metrics.compare import difference, holm
from affect_mllm.eval.metrics.intervals import none_of
from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.score.breakdowns import groups_of
from affect_mllm.eval.score.statistics import compared
from affect_mllm.eval.task import Task


def paired(task: Task, first: Read, second: Read) -> dict[str, Any]:
    """What `results.json` has of a comparison, but for the runs' names and `p_holm`.

    `n10` and `n01` count the samples that only one of the two has right, `difference` is that of
    the shares of right answers, `metric` that of the task's first metric, to which `p` belongs.
    """
    groups, name = groups_of(task, first), task.metrics[0]
    found = difference(first, second, METRICS[name], groups)
    return {
        "n": len(first),
        "n10": int(np.sum(first.right & ~second.right)),
        "n01": int(np.sum(~first.right & second.right)),
        "difference": float(first.right.mean() - second.right.mean()),
        **compared(first.right.tolist(), second.right.tolist(), groups),
        "metric": {
            "name": name,
            "value": none_of(found.value),
            "ci_low": none_of(found.ci_low),
            "ci_high": none_of(found.ci_high),
            "se": none_of(found.se),
            "method": found.method,
        },
        "p": none_of(found.p),
    }


def with_holm(comparisons: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The comparisons, each with `p_holm`: its p among as many as there are."""
    adjusted = holm([math.nan if each["p"] is None else each["p"] for each in comparisons])
    return [{**each, "p_holm": none_of(p)} for each, p in zip(comparisons, adjusted, strict=True)]
