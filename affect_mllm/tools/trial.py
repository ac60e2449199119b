"""A small model of this project's own parts with random weights, and batches that are only numbers.

What `gpu-check` trains: the real engines, trainer and losses, with nothing to be fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch

from affect_mllm.data.loader import StepBatch
from affect_mllm.models.llm.attention import Attention
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.tools import trial_models
from affect_mllm.tools.rehearsal import Shape
from affect_mllm.tools.trial_models import PLAIN, TOKENS, Parts, Size
from affect_mllm.train.keep.progress import Progress
from affect_mllm.train.layout.launch import Launch
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.plan import optim
from affect_mllm.train.plan.speed import Speed
from affect_mllm.train.plan.stage import Stage
from affect_mllm.train.plan.trainable import Group, select, unfreeze
from affect_mllm.train.step.agree import agree
from affect_mllm.train.step.trainer import Trainer
from affect_mllm.types import Batch, Span

TRAINABLE = {"compressors": Group(r"compressors\..*", 1e-3), "lora": Group(r"llm\..*lora_.*", 1e-3)}
AS_IT_IS = Speed(liger="never")
STEPS = 3


class Taken(NamedTuple):
    """A step's loss and the norm of its gradient before clipping, over all ranks."""

    loss: float
    grad_norm: float


class Trial:
    """Models of one size, all with the same weights, and the batches that they train on."""

    def __init__(
        self,
        folder: Path,
        size: Size,
        parts: Parts = PLAIN,
        *,
        trainable: Mapping[str, Group] = TRAINABLE,
        speed: Speed = AS_IT_IS,
    ) -> None:
        """Writes the pretrained weights to `folder` unless they lie there."""
        self.folder, self.size, self.parts, self.speed = folder, size, parts, speed
        self.stage = Stage("trial", dict(trainable), {}, steps=STEPS)
        self.objective = Objective(self.stage.losses)
        trial_models.write(folder, size, parts)

    def model(self, attention: Attention = "auto") -> AffectMLLM:
        """A new one. Every weight that trains has a gradient from the first step on."""
        model = trial_models.build(self.folder, self.parts, attention)
        select(model, self.stage.trainable)
        return model.train()

    def optimizer(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        """AdamW over what trains."""
        fused = next(module.parameters()).device.type != "meta"
        rates = self.stage.trainable
        groups, settings = select(module, rates), optim.AdamW(fused=fused)
        return optim.build(groups, rates, weight_decay=0.01, settings=settings)

    def batch(self, seed: int, *, in_a_row: int = 2) -> Batch:
        """So many examples a row, each of an item and as many supervised tokens as others."""
        size, chance = self.size, torch.Generator().manual_seed(seed)
        vocab = min(size.vocab, trial_models.VLM_WORDS) if self.parts.is_vlm else size.vocab
        ids = torch.randint(0, vocab, (size.rows, size.length), generator=chance)
        starts = (0, size.length * 3 // 5)[:in_a_row]
        ends = (*starts[1:], size.length)
        labels = torch.full_like(ids, -100)
        segments, positions = torch.zeros_like(ids), torch.zeros_like(ids)
        rows = torch.arange(size.rows)[:, None] * len(starts)
        first, places = trial_models.begins(self.folder, self.parts)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
            ids[:, start : start + len(first)] = torch.tensor(first, dtype=ids.dtype)
            segments[:, start:end] = rows + number
            positions[:, start:end] = torch.arange(end - start)
            half = (start + end) // 2
            labels[:, half:end] = ids[:, half:end]
        items = len(starts) * size.rows
        spans = tuple(
            Span(name, starts[i % len(starts)] + place, TOKENS, i // len(starts), i)
            for i in range(items)
            for name, place in places.items()
        )
        media = trial_models.media(self.parts, items, chance)
        names = tuple(f"trial-{seed}-{i}" for i in range(items))
        return Batch(ids, labels, positions, segments, spans, media, names)

    def shape(self, batch: Batch) -> Shape:
        """What `estimate` is told of `batch`."""
        medium = self.parts.medium
        count, length = batch.media[medium].mask.shape
        supervised = int((batch.labels[:, 1:] != -100).sum())
        rows, width = batch.input_ids.shape
        lengths = batch.borders.lengths
        return Shape(rows, width, supervised, {medium: (count, length)}, lengths=lengths)

    def trainer(
        self,
        launch: Launch,
        attention: Attention = "auto",
        *,
        accelerator: Any = None,
        weights: Mapping[str, torch.Tensor] | None = None,
    ) -> Trainer:
        """This project's trainer with a new model on a new engine; nothing is written.

        `weights` are those of a checkpoint, which the model has before its engine takes it over.
        """
        accelerator = accelerator or launch.accelerator(max_norms=[self.stage.max_grad_norm])
        engine, unused = launch.engine(accelerator), cast(Any, None)
        model = self.model(attention)
        self.speed.apply(model)
        engine.bring(model)
        for name, twin in model.named_parameters() if weights else ():
            if weights and name in weights:
                twin.data = weights[name].to(twin.device, copy=True)
        engine.prepare(model, self.optimizer, max_norm=self.stage.max_grad_norm)
        return Trainer(
            engine,
            stage=self.stage,
            objective=Objective(self.stage.losses, world=engine.world),
            callbacks=[],
            checkpoints=unused,
            progress=Progress(),
        )

    def step(self, trainer: Trainer, step: int) -> Taken:
        """Step `step`, from 1, on one micro-batch a rank, always the same: it is learned."""
        batch = self.batch(trainer.engine.rank)
        own = StepBatch((batch,), self.shape(batch).supervised, len(batch.sample_ids), ())
        row = trainer.train_step(step, agree(trainer.engine, trainer.objective, own))
        return Taken(row["loss"], row["grad_norm"])

    def plain(
        self,
        world: int,
        device: torch.device,
        dtype: torch.dtype | None = None,
        after: Callable[[int, AffectMLLM], None] = lambda step, model: None,
    ) -> list[Taken]:
        """`STEPS` steps without trainer, engine and ranks: one model, one loop.

        Computed in `dtype`, if given, by autocast; `after` sees the model after each step.
        """
        model = self.model().to(device)
        unfreeze(model, self.stage.trainable)
        optimizer, found = self.optimizer(model), []
        for step in range(1, STEPS + 1):
            optim.set_rates(optimizer, self.stage.schedule.factor(step - 1, STEPS))
            batches = [self.batch(rank).to(device) for rank in range(world)]
            count = sum(self.objective.counts(batch)["lm"] for batch in batches)
            total = 0.0
            for batch in batches:
                with torch.autocast(device.type, dtype, enabled=dtype is not None):
                    loss = model(batch, self.objective).losses["lm"] / count
                loss.backward()
                total += float(loss.detach())
            most = self.stage.max_grad_norm
            norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), most))
            optimizer.step()
            optimizer.zero_grad()
            found.append(Taken(total, norm))
            after(step, model)
        return found
