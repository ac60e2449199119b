"""The stage's first weights, which losses compare answers with: a policy's distance from them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from affect_mllm.models import checkpoint
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.train.keep.ema import exchanged
from affect_mllm.train.loss.answers import scored
from affect_mllm.train.plan.stage import Stage
from affect_mllm.types import Batch


class Reference:
    """What the trained weights were when the stage began, connectors included.

    Not the model without its adapters: LoRA and connectors may have been trained by stages before.
    Made where a stage's first weights are in place, also when it goes on from later ones: so there
    is nothing to save.
    """

    def __init__(self, model: AffectMLLM) -> None:
        trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.model = model
        self.first = {
            name: weight.detach().clone()
            for name, weight in trained.items()
            if not name.startswith("heads.")
        }

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The model, whose weights are whole, has the first ones; afterwards its own again."""
        own = dict(self.model.named_parameters())
        weights: dict[str, nn.Parameter] = {name: own[name] for name in self.first}
        for name, weight in weights.items():  # once: they are as the engine keeps them from now on
            self.first[name] = self.first[name].to(weight.device, weight.dtype)
        with exchanged(weights, self.first):
            yield

    def beside(self, batch: Batch) -> Batch:
        """The batch with what its answers' tokens were likely then; no gradient, no dropout."""
        if batch.branches is None:
            return batch
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad(), self.in_place():
                found = self.model(batch, scored)
        finally:
            self.model.train(training)
        return replace(batch, reference=found.logps)


def first_weights(model: AffectMLLM, stage: Stage, parent: Path | None) -> Reference | None:
    """What a stage that compares begins with, whether it begins now or goes on; else None.

    The model has these weights afterwards. Its trained parameters are chosen.
    """
    if not stage.compares:
        return None
    if parent is not None:
        checkpoint.load_weights(parent, model)
    stage.prepare(model, fresh=True)
    return Reference(model)
