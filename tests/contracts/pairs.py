"""Dry runs of experiments under one launch; started by torchrun, or alone for one process.

`python -m tests.contracts.pairs ROOT FOLDER LAUNCH EXPERIMENT…`: ROOT has the tiny weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

from affect_mllm import config, log
from affect_mllm.types import ExitCode
from tests import tiny_experiments
from tests.tiny import Tiny


def main(root: str, folder: str, launch: str, *names: str) -> None:
    """Leave with the first exit code that is not 0; what a dry run prints goes to stdout."""
    log.setup()
    for name in names:
        run_dir = Path(folder) / name
        cfg = tiny_experiments.experiment(Tiny(Path(root)), name, run_dir, launch=launch)
        cfg.dry_run = True
        cfg.launch.persistence_threshold = 0
        code = config.build(config.checked(cfg)).run()
        if code != ExitCode.DONE:
            sys.exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
