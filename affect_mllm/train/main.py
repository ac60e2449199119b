"""From a command line of Hydra overrides to a checked configuration and a run."""

from __future__ import annotations

from collections.abc import Sequence

from affect_mllm import config, log
from affect_mllm.types import ConfigError, ExitCode


def main(overrides: Sequence[str]) -> ExitCode:
    """Train as the overrides say."""
    log.setup()
    wrong = [text for text in overrides if text.lstrip("+~").startswith("stage.")]
    if wrong:
        name = wrong[0].split("=")[0].split(".", 1)[1]
        raise ConfigError(wrong[0], "has no effect", fix=f"write stages.NAME.{name}=…")
    return config.build(config.checked(config.compose("train", overrides))).run()
