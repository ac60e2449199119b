"""Checks of `gpu-check` at a tiny size on a CPU; started by torchrun.

`-m tests.tools.checks OUT NAME…`: rank 0 leaves in OUT, as JSON, what every check found.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from affect_mllm.tools.gpu_checks import CHECKS
from affect_mllm.tools.trial_models import Size

TINY = Size(hidden=64, layers=2, vocab=96, rows=2, length=40)

if __name__ == "__main__":
    from accelerate.state import AcceleratorState

    found = {}
    for name in sys.argv[2:]:
        AcceleratorState._reset_state()
        found[name] = CHECKS[name](TINY)._asdict()
    if os.environ.get("RANK", "0") == "0":
        Path(sys.argv[1]).write_text(json.dumps(found))
