"""`gpu-check` says clearly that there is no GPU, and reads what its checks say."""

from __future__ import annotations

import subprocess

import pytest
import torch

from affect_mllm.tools import gpu_check, gpu_checks
from affect_mllm.tools.app import main
from affect_mllm.types import ExitCode


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
        ("", 1, "FAILED", "RuntimeError: boom"),
        ("", 0, "FAILED", "RuntimeError: boom"),
    ],
)
def test_what_a_check_says_becomes_a_row(stdout, code, state, found) -> None:
    check = gpu_check.CHECKS[1]

    def run(command, **_options) -> subprocess.CompletedProcess[str]:
        assert command[-1] == check.name
        return subprocess.CompletedProcess(command, code, stdout, "RuntimeError: boom")

    assert gpu_check._run(check, 1, run) == (state, found)
    (line,) = [
        x for x in gpu_check.table([(check, state, found)], ["H100"]).splitlines() if "flash " in x
    ]
    assert state in line


def test_a_check_for_more_gpus_than_there_are_is_skipped() -> None:
    assert gpu_check._run(gpu_check.CHECKS[0], 1) == ("skipped", "needs 2 GPUs")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_checks_hold_on_this_gpu() -> None:
    assert gpu_check._run(gpu_check.CHECKS[2], 1)[0] == "held"
