"""The batches of a training step: draws → examples → micro-batches, for one rank."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch.utils.data import Dataset

from affect_mllm.data.ahead import Ahead
from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example, TooLong
from affect_mllm.data.features import Features
from affect_mllm.data.mixture import Draw, Mixture
from affect_mllm.data.outline import Outline, Outliner
from affect_mllm.data.packing import Budget, deal
from affect_mllm.types import Batch, DataError


@dataclass(frozen=True)
class StepBatch:
    """One rank's share of a step: micro-batches, supervised tokens, and rows it had to skip.

    Every rank has equally many micro-batches; one without examples is a single position. `skipped`
    rows are faults, those `too_long` among them; `unasked` counts questions about a modality that
    their row does not have, which is no fault. `cut` counts examples by what was shortened.
    `imbalance` is how much more work than the average the busiest rank was planned to have.
    Where the model itself gives answers, `prompts` are the micro-batches' examples, which are made
    batches when these are there.
    """

    micro_batches: tuple[Batch, ...]
    supervised_tokens: int
    examples: int
    skipped: tuple[tuple[str, str], ...]  # (row id, reason)
    unasked: int = 0
    too_long: int = 0
    cut: dict[str, int] = field(default_factory=dict)
    imbalance: float = 0.0
    prompts: tuple[tuple[Example, ...], ...] = ()

    @property
    def padding(self) -> float:
        """The share of this rank's LLM positions that hold nothing."""
        used = [batch for batch in self.micro_batches if batch.sample_ids]
        real = sum(int((batch.segments >= 0).sum()) for batch in used)
        places = sum(batch.segments.numel() for batch in self.micro_batches)
        return 1 - real / places if places else 0.0

    def pin_memory(self) -> StepBatch:
        """The same in pinned memory, which copies to a GPU need not wait for."""
        pinned = tuple(batch.each(lambda t: t.pin_memory()) for batch in self.micro_batches)
        return replace(self, micro_batches=pinned)

    def numbers(self) -> dict[str, int | float]:
        """What the step's row of the log says about its data, always by the same names."""
        return {
            "examples": self.examples,
            "skipped": len(self.skipped),
            "unasked": self.unasked,
            "too_long": self.too_long,
            "cut_subtitle": self.cut.get("subtitle", 0),
            "cut_turns": self.cut.get("turns", 0),
            "padding": self.padding,
            "imbalance": self.imbalance,
        }


@dataclass(frozen=True)
class BatchPlan:
    """How a step's global batch is cut: examples a step, ranks, micro-batches, tokens a row.

    `micro_batches` is the least number; a `budget` may ask for more. `hidden_size` is the LLM's,
    for the share of attention in the cost of an example.
    """

    batch_size: int
    micro_batches: int = 1
    row_tokens: int = 1024
    rank: int = 0
    world: int = 1
    budget: Budget = field(default_factory=Budget)
    hidden_size: int = 2048

    def share(self, outlines: Sequence[Outline]) -> tuple[list[list[int]], float]:
        """This rank's micro-batches as numbers of `outlines`, and the step's imbalance.

        `outlines` are the whole global batch's, so that all ranks agree without a word.
        """
        loads = [outline.load for outline in outlines]
        costs = [self.budget.cost(load, self.hidden_size) for load in loads]
        dealt = deal(
            loads,
            costs,
            world=self.world,
            micro_batches=self.micro_batches,
            row_tokens=self.row_tokens,
            budget=self.budget,
        )
        work = [sum(costs[i] for share in dealt for i in share[rank]) for rank in range(self.world)]
        mean = sum(work) / self.world
        return [share[self.rank] for share in dealt], max(work) / mean - 1 if mean else 0.0


class StepDataset(Dataset[StepBatch]):
    """Step number → that step's batch: place `step·batch_size + i` of the mixture for example i."""

    def __init__(
        self, mixture: Mixture, outliner: Outliner, features: Features, *, plan: BatchPlan
    ) -> None:
        self.mixture, self.outliner, self.features, self.plan = mixture, outliner, features, plan

    def __getitem__(self, step: int) -> StepBatch:
        """The batch of `step` for this rank."""
        found = _Found()
        outlines = self._outlines(step, found)
        shares, imbalance = self.plan.share(outlines)
        micro = [self._examples([outlines[i] for i in share], found) for share in shares]
        if self.plan.world == 1:
            micro = [examples for examples in micro if examples]
        everything = [example for examples in micro for example in examples]
        waits = self.outliner.room is not None
        return StepBatch(
            () if waits else tuple(self._collated(examples) for examples in micro),
            sum(label != -100 for example in everything for label in example.labels),
            len(everything),
            tuple(found.skipped),
            found.unasked,
            found.too_long,
            dict(Counter(what for example in everything for what in example.cut)),
            imbalance,
            tuple(map(tuple, micro)) if waits else (),
        )

    def _outlines(self, step: int, found: _Found) -> list[Outline]:
        """Those of the whole global batch; what has none is counted by one rank."""
        plan, outlines = self.plan, []
        first = step * plan.batch_size
        for place in range(first, first + plan.batch_size):
            draw, mine = self.mixture[place], place % plan.world == plan.rank
            try:
                outline = self.outliner.outline(draw)
            except DataError as error:
                if mine:
                    found.bad(draw, error)
            else:
                if outline is not None:
                    outlines.append(outline)
                elif mine:
                    found.unasked += 1
        return outlines

    def _examples(self, outlines: Sequence[Outline], found: _Found) -> list[Example]:
        examples = []
        for outline in outlines:
            try:
                media = self.features.clip(outline.sample, seed=outline.seed).arrays
                example = self.outliner.example(outline, media)
            except DataError as error:
                found.bad(outline, error)
            else:
                if example is None:
                    found.unasked += 1
                else:
                    examples.append(example)
        return examples

    def _collated(self, examples: Sequence[Example]) -> Batch:
        pad_id = self.outliner.maker.chat.tokenizer.pad_token_id or 0
        return collate(examples, pad_id=pad_id, row_tokens=self.plan.row_tokens)


class _Found:
    """What became no example in a step."""

    def __init__(self) -> None:
        self.skipped: list[tuple[str, str]] = []
        self.unasked = self.too_long = 0

    def bad(self, what: Draw | Outline, error: DataError) -> None:
        """Count a bad sample, by its id."""
        self.skipped.append((what.sample.id, str(error)))
        self.too_long += isinstance(error, TooLong)


def step_loader(
    dataset: StepDataset, *, first_step: int, steps: int, workers: int, pinned: bool = False
) -> Ahead[StepBatch]:
    """Batches of steps `first_step … steps − 1` in order, whatever the number of workers.

    `pinned`: in memory that a GPU copies from by itself; with workers, pinned beside the step.
    """
    places = range(first_step, steps)
    return Ahead(dataset.__getitem__, places, workers=workers, pinned=pinned)
