"""From a command line of Hydra overrides to a checked configuration and a run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from affect_mllm import config, log
from affect_mllm.train import dry_run, multirun
from affect_mllm.train.run import TrainRun
from affect_mllm.train.watch.benchmarks import MakeBenchmark
from affect_mllm.types import ConfigError, ExitCode


def main(arguments: Sequence[str], *, make_benchmark: MakeBenchmark | None = None) -> ExitCode:
    """Train as the overrides say; with `-m`, once for every combination of `key=a,b`."""
    log.setup()
    if set(arguments) & set(multirun.FLAGS):
        return multirun.run(arguments, partial(main, make_benchmark=make_benchmark))
    overrides = arguments
    wrong = [text for text in overrides if text.lstrip("+~").startswith("stage.")]
    if wrong:
        name = wrong[0].split("=")[0].split(".", 1)[1]
        raise ConfigError(wrong[0], "has no effect", fix=f"write stages.NAME.{name}=…")
    cfg = config.compose("train", overrides)
    run = config.build(cfg, kind=TrainRun, plugins=cfg.plugins)
    return dry_run.take(run, make_benchmark) if run.dry_run else run.run(make_benchmark)
