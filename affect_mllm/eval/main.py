"""From a command line of Hydra overrides to a checked evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from affect_mllm import config, log
from affect_mllm.eval.run import EvalRun
from affect_mllm.types import ExitCode


def main(overrides: Sequence[str]) -> ExitCode:
    """Evaluate as the overrides say."""
    log.setup()
    cfg = config.compose("eval", overrides)
    return config.build(cfg, kind=EvalRun, plugins=cfg.plugins).run()
