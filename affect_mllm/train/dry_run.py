"""`dry_run=true`: everything is built, each stage takes two steps, and nothing stays behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from affect_mllm import config
from affect_mllm.train.plan import of_manifest
from affect_mllm.train.plan.stage import Stage
from affect_mllm.train.run import TrainRun
from affect_mllm.train.watch.benchmarks import MakeBenchmark
from affect_mllm.types import ExitCode

STEPS = 2


def take(run: TrainRun, make_benchmark: MakeBenchmark | None) -> ExitCode:
    """Two steps of each of these stages, without a feature cache; prints what they cost."""
    data, stages = of_manifest.settled(run.data, run.stages, plugins=run.plugins)
    run = replace(run, data=data, stages=stages)
    names = run.selected()
    stages = {name: shortened(node) for name, node in run.stages.items()}
    parent = run.parent(config.build(run.stages[names[0]], plugins=run.plugins))
    if parent is not None:
        stages[names[0]]["init_from"] = str(parent)
    with scratch(run.run_dir) as folder:
        data = {**run.data, "cache_dir": None}
        short = replace(
            run, run_dir=str(folder), stages=stages, data=data, dry_run=False, tracker="none"
        )
        code = short.run(make_benchmark)
        if code == ExitCode.DONE and os.environ.get("RANK", "0") == "0":
            print(
                report(
                    folder,
                    {
                        name: config.build(run.stages[name], plugins=run.plugins)
                        for name in names
                        if (folder / name).is_dir()
                    },
                )
            )
    return code


@contextlib.contextmanager
def scratch(run_dir: str) -> Iterator[Path]:
    """A folder beside `run_dir`, the same on all ranks; it and new parents are gone afterwards."""
    target = Path(run_dir)
    folder = target.with_name(
        f".{target.name}.dry-run-{os.environ.get('MASTER_PORT', os.getpid())}"
    )
    missing = [parent for parent in folder.parents if not parent.exists()]
    try:
        yield folder
    finally:
        _meet()  # no rank may still be writing
        if os.environ.get("RANK", "0") == "0":
            shutil.rmtree(folder, ignore_errors=True)
            for parent in missing:
                with contextlib.suppress(OSError):
                    parent.rmdir()


def shortened(stage: Mapping[str, Any]) -> dict[str, Any]:
    """The stage's node with two steps; its warm-up stays within them, and nothing is evaluated."""
    node = {**stage, "steps": STEPS, "save_every": STEPS + 1}
    return {**node, "validation": None, "benchmarks": None, "best": None}


def report(folder: Path, stages: Mapping[str, Stage]) -> str:
    """A table of what was measured: seconds a step, time to the end of each stage, memory.

    Under it the groups of each stage with their peak rates, by the names that change them.
    """
    lines = [f"{'stage':<12}{'steps':>8}{'s/step':>9}{'to the end':>12}{'GB':>7}{'tokens/s':>10}"]
    total = 0.0
    for name, stage in stages.items():
        rows = (folder / name / "metrics.jsonl").read_text().splitlines()
        last = json.loads(rows[-1])
        first_s = json.loads(rows[0])["seconds"] if len(rows) > 1 else 0.0
        each = last["seconds"] - first_s
        total += each * stage.steps
        lines.append(
            f"{name:<12}{stage.steps:>8}{each:>9.2f}{_clock(each * stage.steps):>12}"
            f"{last['memory_gb']:>7.2f}{last['supervised_tokens_per_s']:>10.0f}"
        )
    lines += [
        *(
            f"stages.{name}.trainable.{group}.lr={rate.lr:g}"
            for name, stage in stages.items()
            for group, rate in stage.trainable.items()
        ),
        f"all stages: {_clock(total)}, without evaluating and saving",
        "GB: the peak of rank 0, on CUDA what was allocated, on a CPU the whole process",
    ]
    return "\n".join(["dry run: every part was built, nothing was kept", *lines])


def _clock(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"


def _meet() -> None:
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.barrier()
