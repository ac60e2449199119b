"""An omni model's steps in one process or several; started by torchrun as `tests.train.layouts`.

`python -m tests.train.omni_layouts TINY FOLDER OUT STRATEGY…`
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from affect_mllm.data.collate import collate
from affect_mllm.data.loader import StepBatch
from affect_mllm.models.llm.router import routers
from affect_mllm.train.layout.launch import Launch
from affect_mllm.train.loss.objective import Loss
from affect_mllm.train.loss.router import RouterBalance
from affect_mllm.train.loss.token import TokenLoss
from affect_mllm.train.plan.trainable import Group
from affect_mllm.train.step.agree import agree
from tests import tiny_omni, tiny_vlm
from tests.tiny import Tiny
from tests.train.layouts import sums, trainer_of

STEPS = 2
TRAINABLE = {
    "compressors": Group(r"compressors\..*", 2e-5),
    "lora": Group(r"llm\..*lora_.*", 2e-5),
}
# The first of two processes has words, then a silent video; the second everything else.
NAMES = ("words", "words", "video", "words", "sounding", "short", "all", "sound")


def run(tiny: Tiny, folder: Path, launch: Launch, accelerator: Any) -> dict[str, Any]:
    """Losses and gradient norms of the steps, and every weight's sum after them."""
    model = tiny_vlm.model(folder)
    losses: dict[str, Loss] = {"lm": TokenLoss(chunk=8)}
    if routers(model.llm.net.get_decoder()) and accelerator.num_processes == 1:
        losses["router"] = RouterBalance(weight=0.0)  # it runs; its value depends on the layout
    model, trainer = trainer_of(tiny, launch, accelerator, losses, TRAINABLE, model)
    engine, objective = trainer.engine, trainer.objective
    examples = tiny_omni.examples(tiny, model, NAMES)
    mine = np.array_split(np.arange(len(examples)), engine.world)[engine.rank]
    micro = [collate([examples[i] for i in part], pad_id=0) for part in np.array_split(mine, 2)]
    tokens = sum(label != -100 for i in mine for label in examples[i].labels)
    part = StepBatch(tuple(micro), tokens, len(mine), ())
    rows = [
        trainer.train_step(step, agree(engine, objective, part)) for step in range(1, STEPS + 1)
    ]
    weights = sums(model, engine)
    engine.close()
    return {
        "loss": [row["loss"] for row in rows],
        "grad_norm": [row["grad_norm"] for row in rows],
        "weights": weights,
    }


def main(root: str, folder: str, out: str, *strategies: str) -> None:
    """All strategies."""
    from accelerate.state import AcceleratorState

    found = {}
    for strategy in strategies:
        AcceleratorState._reset_state()
        launch = Launch(strategy=strategy, precision="fp32", persistence_threshold=0)  # type: ignore[arg-type]
        accelerator = launch.accelerator()
        found[strategy] = run(Tiny(Path(root)), Path(folder), launch, accelerator)
    if accelerator.is_main_process:
        Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
