"""Several whole runs in one process group, stopped where they are told to and gone on with.

`python -m tests.train.resuming PLAN`, started by torchrun or alone; PLAN is a JSON file with a
list of `{"overrides": […], "stop": "STAGE:STEP" or null}`. Each entry is one call of the command.
Beside its checkpoints a run leaves what every rank saw and how the optimiser ended.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from affect_mllm.train import run as run_module
from affect_mllm.train.checkpoint import StageCheckpoints
from affect_mllm.train.main import main as train
from affect_mllm.train.trainer import Trainer


def main(plan: str) -> None:
    """Go through the plan."""
    from accelerate.state import AcceleratorState

    for entry in json.loads(Path(plan).read_text()):
        AcceleratorState._reset_state()
        with pytest.MonkeyPatch.context() as patch:
            _watch(patch)
            if entry["stop"]:
                _stop_after(entry["stop"], patch)
            code = train(entry["overrides"])
        assert code == (75 if entry["stop"] else 0), code


def _stop_after(where: str, patch: pytest.MonkeyPatch) -> None:
    """Send this very process a SIGTERM in the middle of that step."""
    log = run_module.JsonlLog.log

    def logging(self: Any, row: dict[str, Any]) -> None:
        log(self, row)
        if f"{row['stage']}:{row['step']}" == where:
            os.kill(os.getpid(), signal.SIGTERM)

    patch.setattr(run_module.JsonlLog, "log", logging)


def _watch(patch: pytest.MonkeyPatch) -> None:
    """Write down the samples of every step, and a digest of the optimiser at the end."""
    step_of, final = Trainer.train_step, StageCheckpoints.save_final

    def train_step(self: Trainer, step: int, part: Any) -> Any:
        ids = [list(micro.sample_ids) for micro in part.micro_batches]
        path = self.checkpoints.folder.parent / f"seen-{self.engine.rank}.jsonl"
        with path.open("a") as stream:
            stream.write(json.dumps([self.stage.name, step, ids]) + "\n")
        return step_of(self, step, part)

    def save_final(self: StageCheckpoints, engine: Any, step: int, **more: Any) -> None:
        digest = hashlib.sha256()
        for tensor in _tensors(engine.optimizer.state_dict()):
            digest.update(tensor.detach().reshape(-1).contiguous().view(torch.uint8).numpy())
        path = self.folder.parent / f"optimizer-{self.folder.name}-{engine.rank}"
        path.write_text(digest.hexdigest())
        final(self, engine, step, **more)

    patch.setattr(Trainer, "train_step", train_step)
    patch.setattr(StageCheckpoints, "save_final", save_final)


def _tensors(node: Any) -> Iterator[torch.Tensor]:
    if isinstance(node, torch.Tensor):
        yield node if node.ndim else node.reshape(1)
    elif isinstance(node, dict):
        for key in sorted(node, key=str):
            yield from _tensors(node[key])
    elif isinstance(node, list | tuple):
        for item in node:
            yield from _tensors(item)


if __name__ == "__main__":
    main(*sys.argv[1:])
