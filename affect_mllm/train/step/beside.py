"""A step's micro-batches on the device, with what first weights say of their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from affect_mllm.train.keep.reference import Reference
from affect_mllm.train.layout.engine import Engine
from affect_mllm.train.step.moving import moving
from affect_mllm.types import Batch


def beside(
    reference: Reference | None, engine: Engine, batches: Sequence[Batch]
) -> Iterator[Batch]:
    """Each batch when its turn comes, as it is where nothing is compared.

    Where weights are split, first weights can only take the place of whole ones: those are gathered
    once, for all of the batches, before the first of them is given.
    """
    if reference is None:
        yield from moving(batches, engine.device)
    elif not engine.splits:
        yield from map(reference.beside, moving(batches, engine.device))
    else:
        with engine.whole():
            found = [reference.beside(batch).reference for batch in moving(batches, engine.device)]
        for batch, logps in zip(moving(batches, engine.device), found, strict=True):
            yield replace(batch, reference=logps)


def coming(
    reference: Reference | None,
    engine: Engine,
    batches: Sequence[Batch],
    said: Callable[[str], object],
) -> Iterator[tuple[int, Batch]]:
    """As `beside`, by number from 1; `said` hears of each pass before its batch is made."""
    made = beside(reference, engine, batches)
    for number in range(1, len(batches) + 1):
        said(f"forward of micro-batch {number}")
        yield number, next(made)
