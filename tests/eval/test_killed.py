"""`eval.py` as a process: killed at random, shared by two processes, always the same file."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.processes import DEADLINE_S, finished, started

KILLS = int(os.environ.get("AFFECT_KILLS", "1"))
VARIANTS = ("face+audio+text", "audio", "swap-text")
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def command(tiny_run: Path, folder: Path) -> list[str]:
    return [
        "eval.py",
        f"checkpoint={tiny_run / 'instruct/final'}",
        f"run_dir={folder}",
        "subsets=[face+audio+text,audio]",
        "swaps=[text]",
        "max_new_tokens=24",
        "batch_size=3",
    ]


def files(folder: Path) -> dict[str, bytes]:
    found = sorted((folder / "eval/synthetic").iterdir())
    return {path.name: path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def straight(tiny_run, tmp_path_factory) -> dict[str, bytes]:
    """What an uninterrupted run leaves."""
    folder = tmp_path_factory.mktemp("straight")
    code, said = finished(command(tiny_run, folder))
    assert code == 0, said
    return files(folder)


def test_killed_at_random_it_ends_with_the_same_bytes(tiny_run, straight, tmp_path) -> None:
    assert set(straight) == {f"{name}.predictions.jsonl" for name in VARIANTS}
    dice = random.Random(KILLS)
    lines = 0
    for _ in range(KILLS):
        with started(command(tiny_run, tmp_path)) as process:
            target = lines + dice.randint(1, 3)
            for _ in range(int(DEADLINE_S / 0.005)):
                if process.poll() is not None or _lines(tmp_path) >= target:
                    break
                process_wait(process)
            process.kill()
        lines = _lines(tmp_path)
    code, said = finished(command(tiny_run, tmp_path))
    assert code == 0, said
    assert files(tmp_path) == straight


def test_two_processes_share_the_rows_and_leave_the_same_files(
    tiny_run, straight, tmp_path
) -> None:
    code, said = finished([*TWO, *command(tiny_run, tmp_path)])
    assert code == 0, said
    assert files(tmp_path) == straight


def _lines(folder: Path) -> int:
    """Answers that are written so far, whole or torn."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("eval/synthetic/*"))


def process_wait(process) -> None:
    from subprocess import TimeoutExpired

    try:
        process.wait(0.005)
    except TimeoutExpired:
        return
