"""The stage's own losses on validation rows, the same batches every time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import torch

from affect_mllm.data.loader import StepBatch
from affect_mllm.train.keep.reference import Reference
from affect_mllm.train.layout.engine import Engine
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.step.agree import agree
from affect_mllm.train.step.beside import beside
from affect_mllm.train.step.tally import Tally
from affect_mllm.train.watch.callbacks import Callback
from affect_mllm.types import DataError


class ValidationLoss(Callback):
    """`val/loss` (weighted) and `val/NAME` of each loss, every `every` steps and after the last.

    Also `val/NAME/NOTE` of what losses say beside their values.
    """

    def __init__(
        self,
        engine: Engine,
        objective: Objective,
        batches: Callable[[], Iterable[StepBatch]],
        *,
        every: int,
        reference: Reference | None = None,
    ) -> None:
        self.engine, self.objective = engine, objective
        self.batches, self.every, self.reference = batches, every, reference

    @torch.no_grad()
    def evaluate(self, step: int, *, last: bool) -> dict[str, float]:
        """The losses over all batches and ranks, when they are due."""
        if step % self.every and not last:
            return {}
        self.engine.module.eval()
        tally = Tally()
        counts: Counter[str] = Counter()
        for batch in self.batches():
            part = agree(self.engine, self.objective, batch)
            counts += part.counts
            for micro in beside(self.reference, self.engine, part.micro_batches):
                terms = self.engine.forward(micro, self.objective)
                tally.add(micro.sample_ids, terms, torch.stack([*terms.values.values()]).sum())
        if not counts:
            raise DataError(
                "stage.validation",
                "nothing to measure in its batches",
                fix="give it rows that its losses are about, or more `batches`",
            )
        sums = tally.read().over_ranks(self.engine, self.objective)
        found = sums.losses
        means = {f"val/{name}": found[name] / max(1, counts[name]) for name in found}
        means |= {f"val/{name}": mean for name, mean in sums.noted().items()}
        return {**means, "val/loss": self.objective.total(found, counts)}
