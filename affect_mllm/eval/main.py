"""From a command line of Hydra overrides to a checked evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from affect_mllm import config, log
from affect_mllm.types import ExitCode


def main(overrides: Sequence[str]) -> ExitCode:
    """Evaluate as the overrides say."""
    log.setup()
    return config.build(config.checked(config.compose("eval", overrides))).run()
