"""Checkpoints that are written while the steps go on: of the right moment, whole, or said."""

from __future__ import annotations

import errno
import json
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from affect_mllm.models import checkpoint
from affect_mllm.models.tensor_file import Writes
from affect_mllm.train import run as run_module
from affect_mllm.train.keep.saving import Saving
from affect_mllm.train.main import main
from affect_mllm.types import CheckpointError, ExitCode
from tests.train.resuming import stop_after

STEPS = ("stage=align", "stages.align.steps=6", "+stages.align.keep_last=2")
BESIDE = ("launch.async_save=true", "stages.align.save_every=2", "model.llm.lora.lora_dropout=0.3")
PATIENCE_S = 60


def saved(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "align").glob("step-*"))


def logged(run: Path) -> list[int]:
    lines = (run / "align/metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


def weights(run: Path) -> bytes:
    return (run / "align/final" / checkpoint.WEIGHTS).read_bytes()


def at_log(patch: pytest.MonkeyPatch, call: Callable[[int], None]) -> None:
    """Call it with each step when its row is written."""
    log = run_module.JsonlLog.log

    def logging(self: Any, row: dict[str, Any]) -> None:
        log(self, row)
        call(row["step"])

    patch.setattr(run_module.JsonlLog, "log", logging)


def test_what_is_written_later_is_what_was_there(tmp_path) -> None:
    writes, tensor = Writes(later=True), torch.arange(6.0).view(2, 3)
    writes.tensors(tmp_path / "a", ["x", "y"], [("x", tensor), ("y", tensor.T)])
    writes.complete()
    tensor.zero_()
    assert not list(tmp_path.iterdir())
    writes.do()
    found, whole = load_file(tmp_path / "a"), torch.arange(6.0).view(2, 3)
    assert torch.equal(found["x"], whole)
    assert torch.equal(found["y"], whole.T)


def test_steps_go_on_meanwhile_and_the_checkpoint_is_of_its_own_step(
    tiny, tmp_path, monkeypatch
) -> None:
    """The second step's is held up until the third step is over; then the run is stopped."""
    assert main(tiny.overrides(tmp_path / "straight", *STEPS, BESIDE[-1])) == ExitCode.DONE
    run, free, do = tmp_path / "run", threading.Event(), Writes.do
    found: list[list[str]] = []

    def held_up(writes: Writes) -> None:
        assert free.wait(PATIENCE_S)
        do(writes)

    def look(step: int) -> None:
        if step == 3:
            found.append(saved(run))
            free.set()

    with monkeypatch.context() as patch:
        patch.setattr(Writes, "do", held_up)
        at_log(patch, look)
        stop_after(3, patch)
        assert main(tiny.overrides(run, *STEPS, *BESIDE)) == ExitCode.STOPPED
    assert found == [[]], "not there before it is whole"
    assert saved(run) == ["step-000002", "step-000003"]
    shutil.rmtree(run / "align/step-000003")
    assert main(tiny.overrides(run, *STEPS, *BESIDE)) == ExitCode.DONE
    assert weights(run) == weights(tmp_path / "straight")


def test_one_that_cannot_be_written_ends_the_run_at_the_next(tiny, tmp_path, monkeypatch) -> None:
    calls: list[Writes] = []
    do = Writes.do

    def full(writes: Writes) -> None:
        calls.append(writes)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        do(writes)

    monkeypatch.setattr(Writes, "do", full)
    more = (*STEPS, *BESIDE, "stages.align.save_every=1")
    with pytest.raises(CheckpointError, match=r"step-000002: the disk is full") as refused:
        main(tiny.overrides(tmp_path, *more))
    assert isinstance(refused.value.__cause__, OSError)
    assert saved(tmp_path) == ["step-000001"]
    assert logged(tmp_path) == [1, 2, 3]
    assert main(tiny.overrides(tmp_path, *more)) == ExitCode.DONE


class Ranks:
    """What several ranks' threads tell each other, in one process."""

    def __init__(self, world: int) -> None:
        self.told: list[Any] = [None] * world
        self.meet = threading.Barrier(world, timeout=PATIENCE_S)

    def gather(self, rank: int, item: Any) -> list[Any]:
        self.told[rank] = item
        self.meet.wait()
        found = list(self.told)
        self.meet.wait()
        return found

    def engine(self, rank: int) -> Any:
        class Rank:
            gathering_beside = staticmethod(lambda: partial(self.gather, rank))

        return Rank()


@pytest.mark.parametrize("fails", [None, 0, 1])
def test_where_one_rank_fails_all_do_and_nothing_gets_its_name(tmp_path, fails) -> None:
    ranks, done = Ranks(2), []

    def write(rank: int) -> None:
        if rank == fails:
            raise OSError(errno.EIO, "Input/output error")

    parts = [[partial(write, rank), partial(done.append, rank)] for rank in range(2)]
    savings = [Saving(ranks.engine(r), tmp_path / "step-1", parts[r]) for r in range(2)]
    for rank, saving in enumerate(savings):
        if fails is None:
            saving.wait()
        elif rank == fails:
            with pytest.raises(OSError, match="Input/output"):
                saving.wait()
        else:
            with pytest.raises(CheckpointError, match=rf"step-1: rank {fails} could not write it"):
                saving.wait()
    assert sorted(done) == ([0, 1] if fails is None else [])
