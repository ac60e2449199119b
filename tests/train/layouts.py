"""One process group that trains the same samples in many layouts; started by torchrun.

`python -m tests.train.layouts TINY OUT STRATEGY…` leaves what every layout reports in OUT, as JSON
of rank 0. Without a launcher it is the one process that the others have to agree with.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example
from affect_mllm.data.loader import StepBatch
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.train.keep.progress import Progress
from affect_mllm.train.layout.engine import Engine
from affect_mllm.train.layout.launch import Launch
from affect_mllm.train.loss.contrastive import InfoNCE
from affect_mllm.train.loss.gates import GateEntropy, LoadBalance
from affect_mllm.train.loss.heads import VADRegression
from affect_mllm.train.loss.objective import Loss, Objective
from affect_mllm.train.loss.token import TokenLoss
from affect_mllm.train.plan.optim import build
from affect_mllm.train.plan.stage import Stage
from affect_mllm.train.plan.trainable import Group, select
from affect_mllm.train.step.agree import agree
from affect_mllm.train.step.trainer import Trainer
from affect_mllm.types import DataError, Sample
from tests import tiny as parts
from tests.tiny import Tiny

STEPS = 5
TRAINABLE = {
    "fusion": Group(r"fusion\..*", 2e-5),
    "compressors": Group(r"compressors\..*", 2e-5),
    "lora": Group(r"llm\..*lora_.*", 2e-5),
}
ANSWERS = ("happy", "sad and tired and slow", "no", "calm or bored, or neither of them")


@dataclass(frozen=True)
class Layout:
    """Which samples, how many micro-batches a rank, and packed into rows of how many tokens."""

    samples: str
    micro_batches: int
    row_tokens: int

    @property
    def name(self) -> str:
        return f"{self.samples} in {self.micro_batches}, rows of {self.row_tokens}"


LAYOUTS = [
    *(Layout("alike", micro, rows) for micro in (1, 4) for rows in (0, 300)),
    Layout("mixed", 3, 0),
    Layout("live", 3, 0),
    Layout("coupled", 1, 0),
]
LOSSES: dict[str, Loss] = {"lm": TokenLoss(chunk=8)}
# In one micro-batch over all ranks: what compares samples with each other sees them all.
COUPLED: dict[str, Loss] = {
    **LOSSES,
    "vad": VADRegression(),
    "described": InfoNCE("clip", "description", size=8),
    "pair": InfoNCE("face", "audio", size=8),
    "balance": LoadBalance(),
    "entropy": GateEntropy(weight=0.1),
}


def examples(tiny: Tiny, model: AffectMLLM, samples: str) -> list[Example]:
    """24 examples, with labels for losses that want them.

    `mixed`: the first half words alone, the other with media and long answers; `live`: the same
    with what encoders read in place of their states.
    """
    kinds = [("face", "audio", "text"), ("audio", "text"), ("face",), ("image", "text")]
    chosen = [kinds[i % 4] for i in range(24)]
    answers = [ANSWERS[i % 4] for i in range(24)]
    if samples in ("mixed", "live"):
        chosen = [("text",)] * 12 + [("face", "audio", "text")] * 12
        answers = ["no"] * 12 + [ANSWERS[3]] * 12
    if samples == "live":
        return [_live(tiny, model, i, chosen[i], answers[i]) for i in range(24)]
    made = [
        parts.examples(tiny, model, [("text",)] * (i % 5) + [names], answer)[-1]
        for i, (names, answer) in enumerate(zip(chosen, answers, strict=True))
    ]
    return [
        replace(
            example, sample_id=f"e{i}", truth={"valence": i / 24, "description": f"clip {i % 9}"}
        )
        for i, example in enumerate(made)
    ]


def _live(tiny: Tiny, model: AffectMLLM, seed: int, names: Sequence[str], answer: str) -> Example:
    rng = np.random.default_rng(seed)
    shapes = {"face": (2 + seed % 2, 3, 64, 64), "audio": (20 + seed, 80)}
    media = {
        name: rng.standard_normal(shapes[name]).astype(np.float32)
        for name in names
        if name != "text"
    }
    row = Sample(f"e{seed}", tiny.root, subtitle=f"sentence {seed}")
    return tiny.maker(model).make(row, media, question=parts.QUESTION, answer=answer, encoded=False)


def batch(everything: list[Example], layout: Layout, engine: Engine) -> StepBatch:
    """This rank's half (or all) of the samples, in the layout's micro-batches."""
    mine = np.array_split(np.arange(len(everything)), engine.world)[engine.rank]
    micro = [
        collate([everything[i] for i in part], pad_id=0, row_tokens=layout.row_tokens)
        for part in np.array_split(mine, layout.micro_batches)
    ]
    tokens = sum(label != -100 for i in mine for label in everything[i].labels)
    return StepBatch(tuple(micro), tokens, len(mine), ())


def trainer_of(
    tiny: Tiny,
    launch: Launch,
    accelerator: Any,
    losses: dict[str, Loss],
    trainable: dict[str, Group] = TRAINABLE,
    model: AffectMLLM | None = None,
) -> tuple[AffectMLLM, Trainer]:
    """A tiny model that is nowhere at a neutral start, where a wrong gradient may still be zero."""
    model = tiny.model() if model is None else model
    torch.manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name or ".gate.output" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    stage = Stage("s", trainable, {}, steps=100, max_grad_norm=0.5, losses=losses)
    stage.add_heads(model)
    rates = {**trainable, "heads": Group(r"heads\..*", 2e-5)} if len(model.heads) else trainable
    select(model, rates)
    engine = launch.engine(accelerator)
    engine.bring(model)
    engine.prepare(
        model,
        lambda module: build(select(module, rates), rates, weight_decay=0.01),
        max_norm=stage.max_grad_norm,
    )
    model.train()
    objective = Objective(losses, world=engine.world)
    nothing: Any = None
    return model, Trainer(
        engine,
        stage=stage,
        objective=objective,
        callbacks=[],
        checkpoints=nothing,
        progress=Progress(),
    )


def sums(model: AffectMLLM, engine: Engine) -> dict[str, float]:
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    return {name: float(t.double().sum()) for name, t in engine.weights(names).items()}


def run(tiny: Tiny, launch: Launch, accelerator: Any, layout: Layout) -> dict[str, Any]:
    """Losses and gradient norms of the steps, and every weight's sum after them."""
    losses = COUPLED if layout.samples == "coupled" else LOSSES
    model, trainer = trainer_of(tiny, launch, accelerator, losses)
    engine, objective = trainer.engine, trainer.objective
    part = batch(examples(tiny, model, layout.samples), layout, engine)
    rows = [
        trainer.train_step(step, agree(engine, objective, part)) for step in range(1, STEPS + 1)
    ]
    weights = sums(model, engine)
    engine.close()
    return {
        "loss": [row["loss"] for row in rows],
        "losses": rows[0]["losses"],
        "grad_norm": [row["grad_norm"] for row in rows],
        "tokens": rows[0]["supervised_tokens"],
        "weights": weights,
    }


def broken(tiny: Tiny, launch: Launch, accelerator: Any) -> dict[str, Any]:
    """What every rank says of a step in which the last rank has a sample of not-a-number."""
    model, trainer = trainer_of(tiny, launch, accelerator, LOSSES)
    engine = trainer.engine
    given = examples(tiny, model, "mixed")
    given[-1].media["face"][:] = np.nan
    part = batch(given, Layout("mixed", 3, 0), engine)
    before = sums(model, engine)
    try:
        trainer.train_step(1, agree(engine, trainer.objective, part))
        said = "nothing"
    except DataError as error:
        said = str(error)
    same = sums(model, engine) == before
    found = {"said": engine.gather(said), "same": same, "sample": given[-1].sample_id}
    engine.close()
    return found


def main(root: str, out: str, *strategies: str) -> None:
    """All layouts of all strategies."""
    from accelerate.state import AcceleratorState

    tiny, found = Tiny(Path(root)), {}
    for strategy in strategies:
        AcceleratorState._reset_state()
        launch = Launch(strategy=strategy, precision="fp32", persistence_threshold=0)  # type: ignore[arg-type]
        accelerator = launch.accelerator()
        for layout in LAYOUTS:
            found[f"{strategy}: {layout.name}"] = run(tiny, launch, accelerator, layout)
        found[f"{strategy}: broken"] = broken(tiny, launch, accelerator)
    if accelerator.is_main_process:
        Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
