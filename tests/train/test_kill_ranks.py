"""A run of two processes whose ranks are killed, or asked to stop, ends at the same weights.

`AFFECT_SOAK=1` (`make soak`) kills it twenty times in place of three.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
from functools import partial
from pathlib import Path

import psutil
import pytest

from affect_mllm.models import checkpoint
from tests.processes import GLANCE_S, finished, started, wait_until

KILLS = 20 if os.environ.get("AFFECT_SOAK") else 3
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "train.py")
LENGTHS = {"align": 8, "emotion": 4, "instruct": 8 + 5 * KILLS}


def command(tiny, folder: Path, *more: str) -> list[str]:
    sizes = [
        setting
        for stage, steps in LENGTHS.items()
        for setting in (
            f"stages.{stage}.steps={steps}",
            f"stages.{stage}.save_every=2",
            f"+stages.{stage}.keep_last=2",
        )
    ]
    given = ("launch=ddp", "model.llm.lora.lora_dropout=0.3", *sizes)
    return [*TORCHRUN, *tiny.overrides(folder, *given, *more)]


def logged(folder: Path) -> int:
    return sum(len(p.read_bytes().splitlines()) for p in folder.glob("*/metrics.jsonl"))


def ranks(launcher: subprocess.Popen[str]) -> list[psutil.Process]:
    """The launcher's workers, rank 0 first; their own loader processes are not among them."""
    return sorted(psutil.Process(launcher.pid).children(), key=lambda p: p.environ()["RANK"])


def reached(folder: Path, rows: int) -> bool:
    return logged(folder) >= rows


@pytest.fixture(scope="module")
def straight(tiny, tiny_run, tmp_path_factory) -> Path:
    """The run without a break; `tiny_run` has filled the feature cache."""
    folder = tmp_path_factory.mktemp("straight")
    code, said = finished(command(tiny, folder), deadline_s=600)
    assert code == 0, said
    return folder


def test_killed_at_random_moments_it_ends_at_the_same_bytes(tiny, straight, tmp_path) -> None:
    """A rank dies, or all; the launcher ends the job and says why.

    Every other time checkpoints are written beside the steps.
    """
    chance = random.Random(0)
    total = sum(LENGTHS.values())
    killed = 0
    for number in range(1, KILLS + 1):
        beside = f"launch.async_save={number % 2 == 1}"
        at, latest = (n * total // (KILLS + 3) for n in (number, number + 1))
        with started(command(tiny, tmp_path, beside)) as launcher:
            wait_until(launcher, partial(reached, tmp_path, at))
            for _ in range(chance.randrange(12)):  # anywhere in a step or a checkpoint
                if not reached(tmp_path, latest):
                    try_wait(launcher)
            with contextlib.suppress(psutil.NoSuchProcess):
                workers = ranks(launcher)
                for worker in chance.choice([workers[:1], workers[1:], workers]):
                    worker.kill()
            _, said = launcher.communicate(timeout=600)
        if launcher.returncode == 0:  # this process waited so long for its turn that the run ended
            break
        assert launcher.returncode != 75
        assert "Signal 9 (SIGKILL) received" in said
        assert json.loads((tmp_path / "status.json").read_text())["resumable"]
        killed += 1
    assert killed, "the run ended before it could be killed at all"
    code, said = finished(command(tiny, tmp_path), deadline_s=600)
    assert code == 0, said
    for stage in LENGTHS:
        weights = [run / stage / "final" / checkpoint.WEIGHTS for run in (tmp_path, straight)]
        assert weights[0].read_bytes() == weights[1].read_bytes()
    assert logged(tmp_path) == total, "every step once"


def try_wait(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(GLANCE_S)
    except subprocess.TimeoutExpired:
        return


def test_a_signal_to_one_rank_stops_all_at_the_same_step(tiny, straight, tmp_path) -> None:
    with started(command(tiny, tmp_path)) as launcher:
        wait_until(launcher, partial(reached, tmp_path, 2))
        ranks(launcher)[1].send_signal(signal.SIGUSR1)
        _, said = launcher.communicate(timeout=600)
    assert "exitcode  : 75" in said
    status = json.loads((tmp_path / "status.json").read_text())
    assert status == {"state": "stopped", "resumable": True}
    (newest,) = sorted((tmp_path / "align").glob("step-*"))[-1:]
    state = json.loads((newest / "data_state.json").read_text())
    assert state["step"] == logged(tmp_path)
    assert state["world"] == 2
