"""What the ranks tell each other about a step before it: counts, and whose modules have to run.

All of it is numbers that the host knows, equally many on every rank, and told from host to host:
no GPU is waited for. Bad samples are told in words, in steps that have some.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from affect_mllm.data.loader import StepBatch
from affect_mllm.train.layout.engine import Engine
from affect_mllm.train.loss.objective import Objective
from affect_mllm.types import MODALITIES, Batch, MediaBatch

READ = tuple(name for name in MODALITIES if name != "multi")  # which encoders or states can be of
DTYPES = (torch.float32, torch.uint8)  # of a batch's media
AXES = 4  # of an item, at most: pictures in time


class Kind(NamedTuple):
    """What an idle item has to look like to run the same modules as a real one."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    encoded: bool
    grid: tuple[tuple[int, int, int], ...]
    step_s: tuple[float, ...]

    @classmethod
    def of(cls, items: MediaBatch) -> Kind:
        """That of the first item, without its padding."""
        shape = (int(items.mask[0].sum()), *items.values.shape[2:])
        return cls(shape, items.values.dtype, items.encoded, items.grids[:1], items.steps_s[:1])

    def numbers(self) -> list[float]:
        """`SIZE` of them; the first is 1."""
        shape = [*self.shape, *[0] * (AXES - len(self.shape))]
        grid, step_s = (self.grid or ((0, 0, 0),))[0], (self.step_s or (0.0,))[0]
        return [1, DTYPES.index(self.dtype), self.encoded, *shape, *grid, step_s]

    @classmethod
    def heard(cls, numbers: Sequence[float]) -> Kind | None:
        """What `numbers` say; None of those of a modality that is not there."""
        there, dtype, encoded, *whole = (int(number) for number in numbers[:-1])
        if not there:
            return None
        shape, grid = tuple(size for size in whole[:AXES] if size), tuple(whole[AXES:])
        cut = any(grid)
        return cls(
            shape,
            DTYPES[dtype],
            bool(encoded),
            ((grid[0], grid[1], grid[2]),) if cut else (),
            (numbers[-1],) if cut else (),
        )

    def item(self) -> MediaBatch:
        """One of zeros, of no example."""
        values = torch.zeros(1, *self.shape, dtype=self.dtype)
        mask = torch.ones(values.shape[:2], dtype=torch.bool)
        return MediaBatch(values, mask, (), self.encoded, self.grid, self.step_s)


SIZE = 3 + AXES + 3 + 1
ABSENT = [0.0] * SIZE


@dataclass(frozen=True)
class Agreed:
    """This rank's micro-batches, as many as on any other rank, and the step's totals.

    `active` is how many items of all losses can have a gradient.
    """

    micro_batches: tuple[Batch, ...]
    counts: Counter[str]
    tokens: int
    skipped: tuple[tuple[str, str], ...]
    numbers: dict[str, int | float]
    active: int = 1


def agree(engine: Engine, objective: Objective, batch: StepBatch) -> Agreed:
    """Agree on a step: its totals, and the same modalities in a micro-batch on every rank.

    Where another rank has a modality and this one has not, an idle item stands in: ZeRO-3 and
    FSDP hang when ranks run different modules.
    """
    counts: Counter[str] = Counter(dict.fromkeys(objective.losses, 0))
    own, active = batch.numbers(), 0
    for micro in batch.micro_batches:
        each = objective.counts(micro)
        counts.update(each)
        active += objective.active(micro, each)
    said = [*counts.values(), batch.supervised_tokens, active, *own.values()]
    kinds = [number for micro in batch.micro_batches for number in _kinds(micro)]
    ranks = engine.told([*said, *kinds])
    totals = [sum(column) for column in zip(*(rank[: len(said)] for rank in ranks), strict=True)]
    found, (tokens, active, *rest) = totals[: len(counts)], totals[len(counts) :]
    numbers = {
        name: total / engine.world if isinstance(own[name], float) else int(total)
        for name, total in zip(own, rest, strict=True)
    }
    skipped = engine.gather(batch.skipped) if numbers["skipped"] else []
    heard = [rank[len(said) :] for rank in ranks]
    return Agreed(
        tuple(_with_idle(micro, i, heard) for i, micro in enumerate(batch.micro_batches)),
        Counter({name: int(total) for name, total in zip(counts, found, strict=True)}),
        int(tokens),
        tuple(row for rank in skipped for row in rank),
        numbers,
        int(active),
    )


def _kinds(micro: Batch) -> list[float]:
    """Those of every modality there can be, one behind another."""
    there: Mapping[str, MediaBatch] = micro.media
    each = [Kind.of(there[name]).numbers() if name in there else ABSENT for name in READ]
    return [number for numbers in each for number in numbers]


def _with_idle(micro: Batch, index: int, ranks: Sequence[Sequence[float]]) -> Batch:
    """The micro-batch, with an item of each modality that is missing here and somewhere there."""
    idle: dict[str, MediaBatch] = {}
    for place, name in enumerate(READ):
        first = (index * len(READ) + place) * SIZE
        found = (Kind.heard(rank[first : first + SIZE]) for rank in ranks)
        kind = next((each for each in found if each is not None), None)
        if kind is not None and name not in micro.media:
            idle[name] = kind.item()
    return replace(micro, idle=idle) if idle else micro
