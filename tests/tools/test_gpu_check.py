"""`gpu-check` says clearly that there is no GPU, and reads what its checks say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from affect_mllm.models.llm.attention import Attention
from affect_mllm.tools import gpu_check, gpu_checks
from affect_mllm.tools.app import main
from affect_mllm.tools.trial import Trial
from affect_mllm.train.layout.engine import Engine
from affect_mllm.train.layout.launch import Launch
from affect_mllm.types import ExitCode
from tests.tools.checks import TINY
from tests.tools.tracker import Tracker


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_without_a_gpu_it_says_so_and_fails(capsys) -> None:
    with pytest.raises(SystemExit) as left:
        main(["gpu-check"])
    assert left.value.code == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "no CUDA GPU here, so nothing was checked" in said


def test_every_check_of_the_table_exists() -> None:
    assert {check.name for check in gpu_check.CHECKS} == set(gpu_checks.CHECKS)


@pytest.mark.parametrize(
    ("stdout", "code", "state", "found"),
    [
        ('noise\n{"held": true, "found": "2 ranks"}\n', 0, "held", "2 ranks"),
        ('{"held": false, "found": "off"}\n', 0, "FAILED", "off"),
        ('{"held": null, "found": "no package"}\n', 0, "skipped", "no package"),
        ('{"held": true, "found": "int8", "refused": true}\n', 0, "refused", "int8"),
        ('{"held": false, "found": "rank 1: NCCL"}\n', 1, "FAILED", "rank 1: NCCL"),
        ("", 1, "FAILED", "RuntimeError: boom"),
        ("", 0, "FAILED", "RuntimeError: boom"),
    ],
)
def test_what_a_check_says_becomes_a_row(stdout, code, state, found) -> None:
    check = gpu_check.CHECKS[1]

    def run(command) -> subprocess.CompletedProcess[str]:
        assert command[-1] == check.name
        return subprocess.CompletedProcess(command, code, stdout, "RuntimeError: boom")

    assert gpu_check._run(check, 1, run) == (state, found)
    (line,) = [
        x
        for x in gpu_check.table([(check, state, found)], ["H100"]).splitlines()
        if "attention " in x
    ]
    assert state in line


def test_a_check_for_more_gpus_than_there_are_is_skipped() -> None:
    assert gpu_check._run(gpu_check.CHECKS[0], 1) == ("skipped", "needs 2 GPUs")


def forgets_the_update(engine: Engine) -> tuple[float, dict[str, float]]:
    found = engine._clip()
    engine.optimizer.zero_grad(set_to_none=True)
    return found


def doubles_the_gradient(engine: Engine, loss: torch.Tensor, *, last: bool) -> None:
    (2 * loss).backward()


@pytest.mark.parametrize(
    ("method", "wrong"), [("update", forgets_the_update), ("backward", doubles_the_gradient)]
)
def test_an_engine_that_is_wrong_fails(monkeypatch, method: str, wrong: Any) -> None:
    """AdamW does the same with twice the gradient; the norm of it shows."""
    small = gpu_checks.SMALL._replace(hidden=128, length=128)
    assert gpu_checks.exact("single", small).held
    monkeypatch.setattr(Engine, method, wrong)
    assert not gpu_checks.exact("single", small).held


def test_bf16_is_near_float32_on_a_cpu() -> None:
    answer = gpu_checks.bf16(TINY)
    assert answer.held, answer.found


def test_a_share_of_the_peak_below_the_floor_fails(monkeypatch) -> None:
    monkeypatch.setitem(gpu_checks.TOLERANCE, "share", 0.0)
    assert gpu_checks.mfu(TINY).held
    # A busy machine's peak may be measured lower than what a step then reaches.
    monkeypatch.setitem(gpu_checks.TOLERANCE, "share", float("inf"))
    assert not gpu_checks.mfu(TINY).held


def tracked(trial: Trial, attention: Attention) -> int:
    """What torch's tracker saw at the peak of two steps."""
    trainer, memory = trial.trainer(Launch(precision="bf16"), attention), Tracker()
    memory.track_external(trainer.engine.module, trainer.engine.optimizer)
    with memory:
        for step in (1, 2):
            memory.reset_mod_stats()
            trial.step(trainer, step)
    return memory.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"]


def test_the_memory_of_a_step_is_held_against_the_estimate() -> None:
    """Wide enough that a vocabulary's chunk of logits is not all there is."""
    size = TINY._replace(hidden=256, layers=4, vocab=512, rows=4, length=256)
    answer = gpu_checks.memory(size, "auto", tracked)
    assert answer.held, answer.found
    twice = gpu_checks.memory(size, "auto", lambda *given: 2 * tracked(*given))
    assert not twice.held, twice.found


def test_what_a_check_raises_is_said_by_its_rank(capsys, monkeypatch) -> None:
    def broken() -> None:
        raise RuntimeError("boom")

    monkeypatch.setenv("RANK", "3")
    monkeypatch.setitem(gpu_checks.CHECKS, "attention", broken)
    assert gpu_checks.main("attention") == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer == {"held": False, "found": "rank 3: RuntimeError: boom", "refused": False}


def test_a_check_that_hangs_is_ended_with_its_ranks(tmp_path) -> None:
    """The ranks of a torchrun have sessions of their own; each leaves its number here."""
    script = tmp_path / "hang.py"
    script.write_text(
        "import os, sys, pathlib, time\n"
        "pathlib.Path(sys.argv[1], os.environ['RANK']).write_text(str(os.getpid()))\n"
        "time.sleep(600)\n"
    )
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    with pytest.raises(subprocess.TimeoutExpired):
        gpu_check.finished([sys.executable, *start, str(script), str(tmp_path)], deadline_s=40)
    ranks = [int((tmp_path / name).read_text()) for name in ("0", "1")]
    for rank in ranks:
        with pytest.raises(ProcessLookupError):
            os.kill(rank, 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("check", [each for each in gpu_check.CHECKS if each.processes == 1])
def test_the_checks_hold_on_this_gpu(check: gpu_check.Check) -> None:
    state, found = gpu_check._run(check, 1)
    assert state in ("held", "skipped", "refused"), found
