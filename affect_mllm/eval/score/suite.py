"""The mean of a suite: its benchmarks' primary metrics, all by one checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

from affect_mllm.eval.benchmarks import Suite, load_suite, suite_names
from affect_mllm.eval.score.statistics import mean_of_parts, pooled_standard_error
from affect_mllm.types import ConfigError

_WIDTHS = 2 * 1.959964  # of a 95 % interval, in standard errors


def suite_means(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """{suite: its mean} for each suite of `conf/suite` whose benchmarks are all among `runs`."""
    suites = [load_suite(name) for name in suite_names()]
    complete = [suite for suite in suites if set(suite.benchmarks) <= set(runs)]
    return {
        suite.name: suite_mean(suite, [runs[name] for name in suite.benchmarks])
        for suite in complete
    }


def suite_mean(suite: Suite, summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The unweighted mean of each benchmark's first metric, in its reference variant.

    `by_samples` is the mean weighted by the benchmarks' sizes, with its pooled standard error.
    Its interval takes the benchmarks as independent and each metric's error as normal. ConfigError
    if the answers are not of one checkpoint, which is no mean of one model.
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
    mean = mean_of_parts(values, sizes, weighted=False)
    errors = [(metric["ci_high"] - metric["ci_low"]) / _WIDTHS for metric in primary]
    reach = _WIDTHS / 2 * sqrt(sum(error**2 for error in errors)) / len(primary)
    return {
        "value": mean,
        "ci_low": max(mean - reach, 0.0),
        "ci_high": min(mean + reach, 1.0),
        "n": sum(metric["n"] for metric in primary),
        "n_unparsed": sum(metric["n_unparsed"] for metric in primary),
        "by_samples": {
            "value": mean_of_parts(values, sizes, weighted=True),
            "se": pooled_standard_error(errors, sizes) if max(sizes) > 1 else None,
        },
        "version": suite.version,
        "primary": {
            benchmark: {"metric": name, "value": metric["value"]}
            for benchmark, name, metric in zip(suite.benchmarks, names, primary, strict=True)
        },
    }
