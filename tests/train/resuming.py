"""Several whole runs in one process group, stopped where they are told to and gone on with.

`python -m tests.train.resuming PLAN`, started by torchrun or alone; PLAN is a JSON file with a
list of `{"overrides": […], "stop": "STAGE:STEP" or null}`. Each entry is one call of the command;
with `heard`, a pattern, what speaks of the voice is what it finds: tiny models know no words.
Beside its checkpoints a run leaves what every rank saw and how the optimiser ended.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from affect_mllm.data import senses
from affect_mllm.train import run as run_module
from affect_mllm.train.keep.stage_checkpoints import StageCheckpoints
from affect_mllm.train.layout import engine_state
from affect_mllm.train.layout.engine import Engine
from affect_mllm.train.main import main as train
from affect_mllm.train.step.trainer import Trainer


def main(plan: str) -> None:
    """Go through the plan."""
    from accelerate.state import AcceleratorState

    for entry in json.loads(Path(plan).read_text()):
        AcceleratorState._reset_state()
        with pytest.MonkeyPatch.context() as patch:
            _watch(patch)
            if "heard" in entry:
                patch.setitem(senses.LEXICON, "audio", re.compile(entry["heard"]))
            if entry["stop"]:
                stage, step = entry["stop"].split(":")
                stop_after(int(step), patch, stage=stage)
            code = train(entry["overrides"])
        assert code == (75 if entry["stop"] else 0), code


def stop_after(step: int, patch: pytest.MonkeyPatch, *, stage: str | None = None) -> None:
    """Send this very process a SIGTERM in the middle of that step, of any stage or of one."""
    log = run_module.JsonlLog.log

    def logging(self: Any, row: dict[str, Any]) -> None:
        log(self, row)
        if row["step"] == step and stage in (None, row["stage"]):
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

    def save_final(self: StageCheckpoints, engine: Engine, step: int, **more: Any) -> None:
        digest = hashlib.sha256()
        for name, tensor in sorted(_moments(engine).items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().numpy().tobytes())
        path = self.folder.parent / f"optimizer-{self.folder.name}-{engine.rank}"
        path.write_text(digest.hexdigest())
        final(self, engine, step, **more)

    patch.setattr(Trainer, "train_step", train_step)
    patch.setattr(StageCheckpoints, "save_final", save_final)


def _moments(engine: Engine) -> dict[str, torch.Tensor]:
    """The whole state of the optimiser by kind and parameter; DeepSpeed's without its padding."""
    if engine.any_world:
        held = engine_state.moments(engine.module, engine.optimizer).items()
        return {key: engine_state.whole(value) for key, value in held}
    from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer
    from deepspeed.utils import safe_get_full_optimizer_state

    zero = engine.model.optimizer
    if isinstance(zero, DeepSpeedZeroOptimizer):
        # DeepSpeed links parameters to their moments after the first group's first step, when the
        # other groups have none yet (0.19.8); training does not need the link, reading does.
        zero._hp_optimizer_states_linked = False
        zero._lazy_init_hp_params_optimizer_state()
    trained = [(name, p) for name, p in engine.module.named_parameters() if p.requires_grad]
    kinds = ("exp_avg", "exp_avg_sq")
    return {f"{k}/{n}": safe_get_full_optimizer_state(p, k) for n, p in trained for k in kinds}


if __name__ == "__main__":
    main(*sys.argv[1:])
