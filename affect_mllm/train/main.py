"""From a command line of Hydra overrides to a checked configuration and a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from affect_mllm import config, log
from affect_mllm.types import ExitCode


def main(overrides: Sequence[str]) -> ExitCode:
    """Train as the overrides say."""
    log.setup()
    cfg = config.checked(config.compose("train", overrides))
    Path(cfg.run_dir).mkdir(parents=True, exist_ok=True)
    OmegaConf.save(cfg, Path(cfg.run_dir) / "config.yaml", resolve=True)
    return config.build(cfg).run()
