"""`affect-mllm gpu-check`: what a machine with CUDA GPUs has to show before weeks are spent on it.

Runs on 1 to 8 GPUs. Each check is a process of its own, so that one that fails or hangs leaves the
others alone; a table at the end says what held and with which numbers.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple

import typer

from affect_mllm.tools.gpu_matrix import EXACT, ROWS, STRATEGIES
from affect_mllm.types import AffectError, ConfigError

DEADLINE_S = 600.0
GRACE_S = 40  # torchrun gives its ranks 30 s
MODULE = "affect_mllm.tools.gpu_checks"


class Check(NamedTuple):
    """One check: its name in `gpu_checks.CHECKS`, and how many processes it wants at least."""

    name: str
    processes: int
    what: str


CHECKS = (
    Check("nccl", 2, "all-reduce over all GPUs gives the sum, and its bandwidth"),
    Check(
        "attention", 1, "packed attention of the fused kernels equals SDPA with a mask of blocks"
    ),
    Check("bf16", 1, "a bf16 loss is the float32 loss to 1 %, the gradient to 5 %"),
    *(
        Check(name, 2, f"{STRATEGIES[name]} in float32: as a plain loop, to 0.1 %")
        for name in EXACT
    ),
    Check("memory", 1, "a LoRA step holds what `estimate` says of it, to 15 %"),
    Check("mfu", 1, "a LoRA step reaches 5 % of the peak at least; the share is said"),
    *(Check(row.name, row.processes, row.what) for row in ROWS),
)


def gpu_check_command(
    only: Annotated[list[str] | None, typer.Option("--only", help="Some of the checks.")] = None,
) -> None:
    """Check NCCL, attention, memory, speed and every configuration of training on these GPUs."""
    import torch

    if not torch.cuda.is_available():
        raise ConfigError(
            "gpu-check",
            "there is no CUDA GPU here, so nothing was checked",
            expected="1 to 8 CUDA GPUs and a torch that was built for them",
            fix="run it on such a machine; the tests (`make test`) cover a CPU",
        )
    unknown = sorted(set(only or ()) - {check.name for check in CHECKS})
    if unknown:
        names = [check.name for check in CHECKS]
        raise ConfigError("--only", ", ".join(unknown), expected=f"some of {names}")
    gpus = min(8, torch.cuda.device_count())
    chosen = [check for check in CHECKS if not only or check.name in only]
    rows = [(check, *_run(check, gpus)) for check in chosen]
    typer.echo(table(rows, [torch.cuda.get_device_name(i) for i in range(gpus)]))
    if any(state == "FAILED" for _, state, _ in rows):
        raise AffectError(
            "gpu-check",
            "not everything held; see the table",
            fix="mend what it names; `--only CHECK` repeats one of them",
        )


def table(rows: Sequence[tuple[Check, str, str]], names: Sequence[str]) -> str:
    """One line a check: held, refused by design, FAILED or skipped, and what was found."""
    lines = [f"{len(names)} GPU(s): {', '.join(sorted(set(names)))}", ""]
    width = max(len(check.name) for check, _, _ in rows)
    for check, state, found in rows:
        lines.append(f"{check.name:{width}} {state:8} {check.what}")
        lines += [f"{'':{width + 10}}{line}" for line in found.splitlines()]
    return "\n".join(lines)


def _run(
    check: Check,
    gpus: int,
    run: Callable[[list[str]], subprocess.CompletedProcess[str]] | None = None,
) -> tuple[str, str]:
    """`held`, `refused`, `FAILED` or `skipped`, and its numbers or the last lines it said."""
    if gpus < check.processes:
        return "skipped", f"needs {check.processes} GPUs"
    many = check.processes > 1
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(gpus)]
    command = [sys.executable, *(start if many else []), "-m", MODULE, check.name]
    try:
        done = (run or finished)(command)
    except subprocess.TimeoutExpired as late:
        return "FAILED", f"still running after {late.timeout:.0f} s"
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"held"')]
    failed = [answer for answer in said if answer["held"] is False]
    if failed:  # the first rank to fail knows why; the others only miss it
        return "FAILED", failed[0]["found"]
    if done.returncode or not said:
        return "FAILED", "\n".join(done.stderr.strip().splitlines()[-6:])
    last = said[-1]
    held = "refused" if last.get("refused") else "held"
    return "skipped" if last["held"] is None else held, last["found"]


def finished(
    command: list[str], deadline_s: float = DEADLINE_S
) -> subprocess.CompletedProcess[str]:
    """The process at its end; TimeoutExpired when it hangs, with nothing of it left.

    It is asked first: a torchrun that is killed leaves its ranks behind, which hold the GPUs.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            out, err = process.communicate(timeout=deadline_s)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.communicate(timeout=GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)
