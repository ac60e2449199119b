"""One process group that trains different parts of models of different dtypes; started by torchrun.

`python -m tests.train.moving TINY OUT CASE…` leaves in OUT, as JSON of rank 0, each case's losses
and the share of the trained weights that moved. A case is `STRATEGY BASE WHAT`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from affect_mllm import config
from affect_mllm.data.collate import collate
from affect_mllm.data.loader import StepBatch
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.train.keep.progress import Progress
from affect_mllm.train.layout.engine import Engine
from affect_mllm.train.layout.launch import Launch
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.loss.token import TokenLoss
from affect_mllm.train.plan.optim import build
from affect_mllm.train.plan.stage import Stage
from affect_mllm.train.plan.trainable import Group, select
from affect_mllm.train.step.agree import agree
from affect_mllm.train.step.trainer import Trainer
from tests import tiny as parts
from tests.tiny import Tiny

STEPS = 20
IN_TWO = 4  # of them in two micro-batches
LR = 1e-6
# Embeddings are left out: rows of tokens that no example has do not move.
LAYERS = r"llm\.net\.(model\.layers|model\.norm|lm_head)\.(?!.*lora_).*"
LAST = r"llm\.net\.(model\.layers\.1|model\.norm)\.(?!.*lora_).*"
CONNECTORS = r"(fusion|compressors)\..*"
WHAT = {
    "lora": {"lora": Group(r"llm\..*lora_.*", LR)},
    "full": {"llm": Group(LAYERS, LR)},
    "full+connectors": {"llm": Group(LAYERS, LR), "connectors": Group(CONNECTORS, LR)},
    "last": {"llm": Group(LAST, LR), "connectors": Group(CONNECTORS, LR)},
}
PRECISIONS = {"float32": "fp32", "bfloat16": "bf16"}
KINDS = [("face", "audio", "text"), ("audio", "text"), ("face",), ("image", "text")]


class Case(NamedTuple):
    """A strategy, the dtype of the base weights, and what trains."""

    strategy: str
    base: str
    what: str

    @property
    def name(self) -> str:
        return " ".join(self)


Run = Callable[[Tiny, Any, Launch, Case], dict[str, Any]]


def model_of(tiny: Tiny, case: Case) -> AffectMLLM:
    """A tiny model on a base of the case's dtype, away from the neutral start."""
    node = tiny.cfg.model.copy()
    node.llm.dtype, node.llm.attention = case.base, "sdpa"
    torch.manual_seed(0)
    model = config.build(node)
    torch.manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name or ".gate.output" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def trainer_of(
    tiny: Tiny,
    accelerator: Any,
    launch: Launch,
    case: Case,
    *,
    first: Callable[[AffectMLLM], None] = lambda model: None,
) -> tuple[AffectMLLM, Trainer, StepBatch]:
    """A model on the case's engine, and the same 12 examples, half of them on each of two ranks.

    `first` is given the model while it is whole.
    """
    model, rates = model_of(tiny, case), WHAT[case.what]
    select(model, rates)
    first(model)
    engine = launch.engine(accelerator)
    engine.bring(model)
    engine.prepare(
        model,
        lambda module: build(select(module, rates), rates, weight_decay=0.0),
        max_norm=1.0,
    )
    model.train()
    losses = {"lm": TokenLoss()}
    nothing: Any = None
    trainer = Trainer(
        engine,
        stage=Stage("s", rates, {}, steps=100, losses=losses),
        objective=Objective(losses, world=engine.world),
        callbacks=[],
        checkpoints=nothing,
        progress=Progress(),
    )
    return model, trainer, batch_of(tiny, model, engine, micro_batches=2)


def batch_of(tiny: Tiny, model: AffectMLLM, engine: Engine, *, micro_batches: int) -> StepBatch:
    """This rank's part of the same 12 examples."""
    everything = [
        parts.examples(tiny, model, [KINDS[i % 4]], "sad and tired")[0] for i in range(12)
    ]
    mine = np.array_split(np.arange(12), engine.world)[engine.rank]
    micro = tuple(
        collate([everything[i] for i in part], pad_id=0)
        for part in np.array_split(mine, micro_batches)
    )
    tokens = sum(label != -100 for i in mine for label in everything[i].labels)
    return StepBatch(micro, tokens, len(mine), ())


def step(trainer: Trainer, batch: StepBatch, number: int) -> dict[str, Any]:
    """One update."""
    return trainer.train_step(number, agree(trainer.engine, trainer.objective, batch))


def run(tiny: Tiny, accelerator: Any, launch: Launch, case: Case) -> dict[str, Any]:
    """20 steps: some of two micro-batches, then of one, which is faster and has to be the same."""
    model, trainer, two = trainer_of(tiny, accelerator, launch, case)
    engine = trainer.engine
    one = batch_of(tiny, model, engine, micro_batches=1)
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    before = {n: t.clone() for n, t in engine.weights(names).items()}  # as they were: they move
    rows = [
        step(trainer, two if number <= IN_TWO else one, number) for number in range(1, STEPS + 1)
    ]
    after = engine.weights(names)
    moved = sum(int((before[n] != after[n]).sum()) for n in names)
    engine.close()
    return {
        "loss": [row["loss"] for row in rows],
        "grad_norm": [row["grad_norm"] for row in rows],
        "moved": moved / sum(t.numel() for t in before.values()),
        "dtypes": sorted({str(t.dtype) for t in after.values()}),
    }


def main(root: str, out: str, *names: str, run: Run = run) -> None:
    """What `run` finds in every named case."""
    from accelerate.state import AcceleratorState

    tiny, found = Tiny(Path(root)), {}
    for name in names:
        case = Case(*name.split())
        AcceleratorState._reset_state()
        launch = Launch(
            strategy=case.strategy,  # type: ignore[arg-type]
            precision=PRECISIONS[case.base],  # type: ignore[arg-type]
            persistence_threshold=0,
        )
        accelerator = launch.accelerator()
        found[name] = run(tiny, accelerator, launch, case)
    if accelerator.is_main_process:
        Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
