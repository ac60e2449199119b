"""Runs checked configurations one after another; started by torchrun, or alone for one process.

`python -m tests.contracts.pairs FILE.yaml…`: each as a test composed it.
"""

from __future__ import annotations

import sys

from omegaconf import DictConfig, OmegaConf

from affect_mllm import config, log
from affect_mllm.train import dry_run
from affect_mllm.types import ExitCode


def main(*files: str) -> None:
    """Leave with the first exit code that is not 0; what a dry run prints goes to stdout."""
    from accelerate.state import AcceleratorState

    log.setup()
    for file in files:
        AcceleratorState._reset_state()  # DeepSpeed's plugin is for a process's first one only
        cfg = OmegaConf.load(file)
        assert isinstance(cfg, DictConfig)
        code = dry_run.take(config.build(config.checked(cfg)), None)
        if code != ExitCode.DONE:
            sys.exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
