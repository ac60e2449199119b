"""`eval.py` as a process: killed at random, shared by two processes, always the same file."""

from __future__ import annotations

import json
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


def took(folder: Path, variant: str) -> dict[str, dict]:
    """What a row's batch took when it was answered last, by id."""
    lines = (folder / f"times/synthetic/{variant}.rows.jsonl").read_text().splitlines()
    return {row["id"]: row for row in map(json.loads, lines)}


def files(folder: Path) -> dict[str, bytes]:
    found = sorted((folder / "eval/synthetic").iterdir())
    return {path.name: path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def straight(tiny_run, tmp_path_factory) -> dict[str, bytes]:
    """What an uninterrupted run leaves."""
    folder = tmp_path_factory.mktemp("straight")
    code, said = finished(command(tiny_run, folder))
    assert code == 0, said
    found = files(folder)
    for variant in VARIANTS:
        rows = map(json.loads, found[f"{variant}.predictions.jsonl"].splitlines())
        asked, batches = {row["id"] for row in rows if "unseen" not in row}, took(folder, variant)
        assert batches.keys() == asked
        assert all(0 < row["batch_rows"] <= 3 for row in batches.values())
        assert sum(row["batch_seconds"] / row["batch_rows"] for row in batches.values()) > 0
    return found


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
    for variant, found in ((v, straight[f"{v}.predictions.jsonl"]) for v in VARIANTS):
        rows = map(json.loads, found.splitlines())
        assert {row["id"] for row in rows if "unseen" not in row} <= took(tmp_path, variant).keys()


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
