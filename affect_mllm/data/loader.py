"""The batches of a training step: draws → examples → micro-batches, for one rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example, ExampleMaker, visible
from affect_mllm.data.features import Features
from affect_mllm.data.mixture import Mixture
from affect_mllm.data.template import Instruction
from affect_mllm.types import Batch, DataError


@dataclass(frozen=True)
class StepBatch:
    """One rank's share of a step: micro-batches, supervised tokens, and rows it had to skip.

    `unasked` counts questions about a modality that their row does not have: no fault of the row.
    """

    micro_batches: tuple[Batch, ...]
    supervised_tokens: int
    examples: int
    skipped: tuple[tuple[str, str], ...]  # (row id, reason)
    unasked: int = 0


@dataclass(frozen=True)
class BatchPlan:
    """How a step's global batch is cut: examples a step, ranks, micro-batches, tokens a row."""

    batch_size: int
    micro_batches: int = 1
    row_tokens: int = 256
    rank: int = 0
    world: int = 1


class StepDataset(Dataset[StepBatch]):
    """Step number → that step's batch: place `step·batch_size + i` of the mixture for example i."""

    def __init__(
        self,
        mixture: Mixture,
        maker: ExampleMaker,
        features: Features,
        *,
        instructions: dict[str, Instruction],
        modality_dropout: float,
        plan: BatchPlan,
    ) -> None:
        self.mixture, self.maker, self.features = mixture, maker, features
        self.instructions, self.dropout, self.plan = instructions, modality_dropout, plan

    def __getitem__(self, step: int) -> StepBatch:
        """The batch of `step` for this rank."""
        plan = self.plan
        first = step * plan.batch_size
        examples: list[Example] = []
        skipped: list[tuple[str, str]] = []
        unasked = 0
        for place in range(first + plan.rank, first + plan.batch_size, plan.world):
            try:
                example = self._example(place)
                if example is None:
                    unasked += 1
                else:
                    examples.append(example)
            except DataError as error:
                skipped.append((self.mixture[place].sample.id, str(error)))
        return replace(self._cut(examples), skipped=tuple(skipped), unasked=unasked)

    def _cut(self, examples: Sequence[Example]) -> StepBatch:
        pad_id = self.maker.chat.tokenizer.pad_token_id or 0
        parts = np.array_split(np.arange(len(examples)), self.plan.micro_batches)
        micro = tuple(
            collate([examples[i] for i in part], pad_id=pad_id, row_tokens=self.plan.row_tokens)
            for part in parts
            if len(part)
        )
        tokens = sum(sum(label != -100 for label in example.labels) for example in examples)
        return StepBatch(micro, tokens, len(examples), ())

    def _example(self, place: int) -> Example | None:
        draw = self.mixture[place]
        sample, instruction = draw.sample, self.instructions[draw.instruction]
        media = self.features.clip(sample).arrays
        rng = np.random.default_rng([draw.seed[0], 3, draw.seed[1]])
        available = [*media, *(["text"] if sample.subtitle else [])]
        seen = visible(available, instruction, self.dropout, rng)
        if available and not seen:
            return None
        return self.maker.make(
            sample,
            {name: array for name, array in media.items() if name in seen},
            question=instruction.questions[int(rng.integers(len(instruction.questions)))],
            answer=instruction.answer_for(sample),
            subtitle="text" in seen,
            encoded=self.features.encoded,
        )


def step_loader(
    dataset: StepDataset, *, first_step: int, steps: int, workers: int
) -> DataLoader[StepBatch]:
    """Batches of steps `first_step … steps − 1` in order, whatever the number of workers."""
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=range(first_step, steps),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_one_thread if workers else None,
        # Of its own, or starting the loader would draw from the state that a resume restored.
        generator=torch.Generator().manual_seed(0),
    )


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)
