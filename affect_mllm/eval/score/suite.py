"""The mean of a suite: its benchmarks' primary metrics, all by one checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, sqrt
from typing import Any

from affect_mllm.eval.benchmarks import Suite, load_suite, suite_names
from affect_mllm.eval.metrics.intervals import quantile
from affect_mllm.eval.score.statistics import mean_of_parts, pooled_standard_error
from affect_mllm.types import ConfigError


def suite_means(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """{suite: its mean} for each suite of `conf/suite` whose benchmarks are all among `runs`."""
    suites = [load_suite(name) for name in suite_names()]
    complete = [s for s in suites if not s.against and set(s.benchmarks) <= set(runs)]
    return {
        suite.name: suite_mean(suite, [runs[name] for name in suite.benchmarks])
        for suite in complete
    }


def suite_mean(suite: Suite, summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The unweighted mean of each benchmark's first metric, in its reference variant.

    `by_samples` is the mean weighted by the benchmarks' sizes, with its pooled standard error.
    Its interval takes the benchmarks as independent (Welch and Satterthwaite's degrees of freedom);
    there is none where one of them has no standard error. ConfigError if the answers are not of one
    checkpoint, which is no mean of one model, or if a first metric has no value.
    """
    variants = [summary["variants"][summary["reference"]] for summary in summaries]
    checkpoints = {str(variant["checkpoint"]) for variant in variants}
    if len(checkpoints) > 1:
        raise ConfigError(
            f"suite {suite.name}", f"checkpoints {sorted(checkpoints)}", expected="one for all"
        )
    names = [summary["task"]["metrics"][0] for summary in summaries]
    primary = [variant["metrics"][name] for variant, name in zip(variants, names, strict=True)]
    values, sizes = [m["value"] for m in primary], [m["n"] for m in primary]
    lacking = [name for name, value in zip(suite.benchmarks, values, strict=True) if value is None]
    if lacking:
        raise ConfigError(f"suite {suite.name}", f"no value of {lacking}", expected="one of each")
    mean = mean_of_parts(values, sizes, weighted=False)
    errors = [m["se"] for m in primary if m.get("se") is not None]
    known = len(errors) == len(primary)
    reach = reach_of(errors, [m["df"] for m in primary]) if known else None
    return {
        "value": mean,
        "ci_low": None if reach is None else max(mean - reach, 0.0),
        "ci_high": None if reach is None else min(mean + reach, 1.0),
        "n": sum(metric["n"] for metric in primary),
        "n_unparsed": sum(metric["n_unparsed"] for metric in primary),
        "by_samples": {
            "value": mean_of_parts(values, sizes, weighted=True),
            "se": pooled_standard_error(errors, sizes) if known and max(sizes) > 1 else None,
        },
        "version": suite.version,
        "primary": {
            benchmark: {"metric": name, "value": metric["value"]}
            for benchmark, name, metric in zip(suite.benchmarks, names, primary, strict=True)
        },
    }


def reach_of(errors: Sequence[float], dfs: Sequence[float]) -> float:
    """Half the width of the interval of an unweighted mean of independent values."""
    total = sum(error**2 for error in errors)
    parts = sum(error**4 / df for error, df in zip(errors, dfs, strict=True))
    return quantile(total**2 / parts if parts else inf) * sqrt(total) / len(errors)
