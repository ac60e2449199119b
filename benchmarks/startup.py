"""Start-up of each command: CPU time of its `--help` against that of `import torch`.

    python benchmarks/startup.py [--quick]

A process each, in turn in every round; the time is the processor's, which other work on the
machine changes less than the clock's. The first round, which reads the disk, is not counted.
"""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median
from typing import Annotated

import typer
from measured import Row, report

from affect_mllm.tools.app import COMMANDS

ALTERNATIVE = "`import torch`"
RUN = "import sys; from affect_mllm.tools.app import main; main(sys.argv[1:])"


def main(quick: Annotated[bool, typer.Option(help="One counted round of three.")] = False) -> None:
    """Print one row a command."""
    rounds = [_round() for _ in range(2 if quick else 4)][1:]
    rows = []
    for name in ("", *COMMANDS):
        title = " ".join(("affect-mllm", name, "--help")).replace("  ", " ")
        ratios = [each[name] / each[ALTERNATIVE] for each in rounds]
        rows.append(Row.of(f"`{title}`: CPU time", ALTERNATIVE, ratios, "lower"))
        seconds = median(each[name] for each in rounds)
        print(f"{title:32} {seconds:6.2f} s  {rows[-1].ratio:6.1%} of {ALTERNATIVE}")
    report(rows)


def _round() -> dict[str, float]:
    found = {ALTERNATIVE: cpu_s("-c", "import torch")}
    for name in ("", *COMMANDS):
        found[name] = cpu_s("-c", RUN, *([name] if name else []), "--help")
    return found


def cpu_s(*words: str) -> float:
    """Seconds of the processor, the system's share included, that a Python process takes."""
    before = os.times()
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    after = os.times()
    used = after.children_user + after.children_system
    return used - before.children_user - before.children_system


if __name__ == "__main__":
    typer.run(main)
