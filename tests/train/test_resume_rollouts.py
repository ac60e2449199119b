"""A stage that draws answers, stopped and gone on with where weights are split over two ranks.

What was drawn and learnt is the straight run's, bit for bit; under FSDP2 also with one process
after two, but for rounding.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.processes import finished
from tests.train import resuming
from tests.train.test_reinforce import SLOW, TORCHRUN, close, overrides, same

STOP = "reinforce:2"
PASSES = ("stages.reinforce.losses.policy.old=sampled", "stages.reinforce.rollout.passes=2")


def given(tiny, run: Path, strategy: str) -> list[str]:
    """Four steps of two updates each, compared with the first weights."""
    own = (*PASSES, f"launch.strategy={strategy}")
    return overrides(tiny, run, *SLOW, *own, "+launch.persistence_threshold=0")


def called(tmp_path: Path, calls: list[tuple[list[str], str | None]], *, processes: int) -> None:
    path = tmp_path / f"{processes}.json"
    path.write_text(json.dumps([{"overrides": told, "stop": stop} for told, stop in calls]))
    start = [*TORCHRUN[:-1], str(processes), "-m", resuming.__name__, str(path)]
    code, said = finished(start, deadline_s=1800)
    assert code == 0, said[-3000:]


@pytest.mark.parametrize("strategy", ["fsdp2", "zero3"])
def test_stopped_and_gone_on_with_it_ends_at_the_same_bytes(tiny, tmp_path, strategy) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    calls = [(straight, None), (broken, STOP), (broken, None)]
    told = [(given(tiny, run, strategy), stop) for run, stop in calls]
    called(tmp_path, told, processes=2)
    same(broken, straight)


def test_one_process_goes_on_with_what_two_began(tiny, tmp_path) -> None:
    alone, moved = tmp_path / "alone", tmp_path / "moved"
    called(tmp_path, [(given(tiny, moved, "fsdp2"), STOP)], processes=2)
    told = [(given(tiny, alone, "fsdp2"), None), (given(tiny, moved, "fsdp2"), None)]
    called(tmp_path, told, processes=1)
    close(alone, moved)
