"""What the ranks tell each other about a step before it: counts, and whose modules have to run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from affect_mllm.data.loader import StepBatch
from affect_mllm.train.layout.engine import Engine
from affect_mllm.train.loss.objective import Objective
from affect_mllm.types import Batch, MediaBatch


class Kind(NamedTuple):
    """What an idle item has to look like to run the same modules as a real one."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    encoded: bool
    grid: tuple[tuple[int, int, int], ...]
    step_s: tuple[float, ...]


class Report(NamedTuple):
    """One rank's part of a step, in words."""

    media: tuple[dict[str, Kind], ...]
    counts: Counter[str]
    tokens: int
    skipped: tuple[tuple[str, str], ...]
    numbers: dict[str, int | float]


@dataclass(frozen=True)
class Agreed:
    """This rank's micro-batches, as many as on any other rank, and the step's totals."""

    micro_batches: tuple[Batch, ...]
    counts: Counter[str]
    tokens: int
    skipped: tuple[tuple[str, str], ...]
    numbers: dict[str, int | float]


def agree(engine: Engine, objective: Objective, batch: StepBatch) -> Agreed:
    """Agree on a step: its totals, and the same modalities in a micro-batch on every rank.

    Where another rank has a modality and this one has not, an idle item stands in: ZeRO-3 and
    FSDP hang when ranks run different modules.
    """
    counts: Counter[str] = Counter()
    for micro in batch.micro_batches:
        counts.update(objective.counts(micro))
    media = tuple(_kinds(micro) for micro in batch.micro_batches)
    reports = engine.gather(
        Report(media, counts, batch.supervised_tokens, batch.skipped, batch.numbers())
    )
    assert len({len(report.media) for report in reports}) == 1, "ranks cut the step differently"
    return Agreed(
        tuple(_with_idle(micro, i, reports) for i, micro in enumerate(batch.micro_batches)),
        sum((report.counts for report in reports), Counter()),
        sum(report.tokens for report in reports),
        tuple(row for report in reports for row in report.skipped),
        _totals([report.numbers for report in reports]),
    )


def _totals(ranks: Sequence[dict[str, int | float]]) -> dict[str, int | float]:
    """Counts added up, shares averaged; what a rank does not mention is zero."""
    names = dict.fromkeys(name for numbers in ranks for name in numbers)
    sums = {name: sum(numbers.get(name, 0) for numbers in ranks) for name in names}
    return {n: x / len(ranks) if isinstance(x, float) else x for n, x in sums.items()}


def _kinds(micro: Batch) -> dict[str, Kind]:
    return {name: _kind(items) for name, items in micro.media.items()}


def _kind(items: MediaBatch) -> Kind:
    """Of the first item, without its padding."""
    shape = (1, int(items.mask[0].sum()), *items.values.shape[2:])
    return Kind(shape, items.values.dtype, items.encoded, items.grids[:1], items.steps_s[:1])


def _with_idle(micro: Batch, index: int, reports: Sequence[Report]) -> Batch:
    idle: dict[str, MediaBatch] = {}
    for report in reports:
        for name, kind in report.media[index].items():
            if name not in micro.media and name not in idle:
                idle[name] = _item(kind)
    return replace(micro, idle=idle) if idle else micro


def _item(kind: Kind) -> MediaBatch:
    values = torch.zeros(kind.shape, dtype=kind.dtype)
    mask = torch.ones(kind.shape[:2], dtype=torch.bool)
    return MediaBatch(values, mask, (), kind.encoded, kind.grid, kind.step_s)
