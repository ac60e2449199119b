"""20 steps = 7 + 13 = 3 + 9 + 8, bit for bit: weights, optimiser, samples; across stage borders.

Three stages of 8, 3 and 9 steps: the first stop is in the first stage, the last one in the third.
Two processes are stopped twice; `AFFECT_SOAK=1` (`make soak`) stops them once, too, and under ZeRO
takes stage by stage.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from affect_mllm.models import checkpoint
from tests.processes import finished
from tests.train import resuming

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
MINUTES = 900  # many runs in one process group
LENGTHS = {"align": 8, "emotion": 3, "instruct": 9}
SETTINGS = (
    *(f"stages.{stage}.steps={steps}" for stage, steps in LENGTHS.items()),
    *(f"stages.{stage}.save_every=100" for stage in LENGTHS),
    "model.llm.lora.lora_dropout=0.3",  # draws random numbers in every step
)
BESIDE = ("launch.async_save=true",)
SOAK = bool(os.environ.get("AFFECT_SOAK"))
STOPS = {"straight": [], "7+13": ["align:7"], "3+9+8": ["align:3", "instruct:1"]}


def plan(tiny, folder: Path, *more: str, runs: list[str], stage_by_stage: bool) -> Path:
    """The calls of the command that these runs take, as a file for the worker."""
    calls = []
    for name in runs:
        overrides = tiny.overrides(folder / name, *SETTINGS, *more)
        calls += [{"overrides": overrides, "stop": stop} for stop in [*STOPS[name], None]]
    for stage in LENGTHS if stage_by_stage else ():
        overrides = tiny.overrides(folder / "stages", *SETTINGS, *more, f"stage={stage}")
        calls.append({"overrides": overrides, "stop": None})
    path = folder / "plan.json"
    path.write_text(json.dumps(calls))
    return path


def seen(run: Path) -> dict[str, list]:
    """What each rank was given, in order."""
    return {
        path.name: [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted(run.glob("seen-*.jsonl"))
    }


def same(folder: Path, one: str, two: str) -> None:
    a, b = folder / one, folder / two
    assert seen(a) == seen(b)
    assert sum(LENGTHS.values()) == len(seen(a)["seen-0.jsonl"])
    for stage in LENGTHS:
        weights = [run / stage / "final" / checkpoint.WEIGHTS for run in (a, b)]
        assert weights[0].read_bytes() == weights[1].read_bytes(), stage
        rows = [
            [json.loads(x) for x in (run / stage / "metrics.jsonl").read_text().splitlines()]
            for run in (a, b)
        ]
        for key in ("step", "loss", "grad_norm", "lr", "tokens_seen"):
            assert [row[key] for row in rows[0]] == [row[key] for row in rows[1]], (stage, key)
    digests = [{p.name: p.read_text() for p in run.glob("optimizer-*")} for run in (a, b)]
    assert digests[0] == digests[1]
    assert len(digests[0]) == len(LENGTHS) * len(seen(a))


def test_one_process_with_packing_and_two_loader_processes(tiny, tmp_path) -> None:
    more = ("launch.row_tokens=400", "launch.micro_batches=2", "launch.workers=2")
    runs = list(STOPS)
    resuming.main(str(plan(tiny, tmp_path, *more, runs=runs, stage_by_stage=False)))
    same(tmp_path, "7+13", "straight")
    same(tmp_path, "3+9+8", "straight")


@pytest.mark.parametrize(
    ("strategy", "more"),
    [
        ("ddp", ("launch.row_tokens=400",)),
        ("zero2", BESIDE),
        ("zero3", ("launch.persistence_threshold=0", *BESIDE)),
        ("fsdp2", BESIDE),
    ],
)
def test_two_processes(tiny, tiny_run, tmp_path, strategy, more) -> None:
    """`tiny_run` fills the feature cache."""
    given = (f"launch={strategy}", *more)
    runs = list(STOPS) if SOAK else ["straight", "3+9+8"]
    by_stage = SOAK and strategy in ("zero2", "zero3")
    path = plan(tiny, tmp_path, *given, runs=runs, stage_by_stage=by_stage)
    code, said = finished([*TORCHRUN, "-m", "tests.train.resuming", str(path)], deadline_s=MINUTES)
    assert code == 0, said
    for run in [*runs[1:], *(["stages"] if by_stage else [])]:
        same(tmp_path, run, "straight")
