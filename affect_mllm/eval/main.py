"""From a command line of Hydra overrides to a checked evaluation, or to those of a suite."""

from __future__ import annotations

from collections.abc import Sequence

from affect_mllm import config, log
from affect_mllm.eval.run import EvalRun
from affect_mllm.eval.suite_run import Told
from affect_mllm.types import ExitCode


def main(overrides: Sequence[str]) -> ExitCode:
    """Evaluate as the overrides say; of a suite, until one evaluation does not end well."""
    log.setup()
    told = Told.of(overrides)
    for each in [overrides] if told is None else list(told.runs()):
        cfg = config.compose("eval", each)
        code = config.build(cfg, kind=EvalRun, plugins=cfg.plugins).run()
        if code != ExitCode.DONE:
            return code
    if told is not None:
        told.finish()
    return ExitCode.DONE
