"""Examples to one batch of tensors: packed or padded rows, media items padded by modality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from affect_mllm.borders import counted
from affect_mllm.data.example import Example
from affect_mllm.data.packing import pack
from affect_mllm.data.rendered import IGNORED
from affect_mllm.types import Batch, DataError, MediaBatch, Patches, Span, modality_of


def collate(examples: Sequence[Example], *, pad_id: int, row_tokens: int = 0) -> Batch:
    """A batch of `examples`; `row_tokens` > 0 packs them into rows of about that length.

    Row order follows packing; `Span.example` and `MediaBatch.examples` keep the numbers of
    `examples`. With `row_tokens=0` example `i` is row `i`. Without any example it is one position
    that nobody learns from: a rank that has nothing to do in a step still takes part in it.
    """
    if not examples:
        return _idle(pad_id)
    lengths = [len(example) for example in examples]
    rows = pack(lengths, row_tokens)
    width = max(sum(lengths[i] for i in row) for row in rows)
    input_ids = torch.full((len(rows), width), pad_id)
    labels = torch.full((len(rows), width), IGNORED)
    positions = torch.zeros(len(rows), width, dtype=torch.long)
    segments = torch.full((len(rows), width), -1)
    branches = torch.full((len(rows), width), -1)
    spans: list[Span] = []
    for row, members in enumerate(rows):
        start = 0
        for number in members:
            example = examples[number]
            place = slice(start, start + len(example))
            input_ids[row, place] = torch.tensor(example.input_ids)
            labels[row, place] = torch.tensor(example.labels)
            if example.answers:
                positions[row, place] = torch.tensor(counted(_fork(example)))
                branches[row, place] = torch.tensor(_branches(example))
            else:
                positions[row, place] = torch.arange(len(example))
            segments[row, place] = number
            spans += [
                replace(
                    span,
                    modality=modality_of(span.modality),
                    start=span.start + start,
                    row=row,
                    example=number,
                    item=_items_of(example)[span.modality],
                )
                for span in example.spans
            ]
            start += len(example)
    ids = tuple(example.sample_id for example in examples)
    media, truths = _media(examples), tuple(example.truth for example in examples)
    return Batch(
        input_ids,
        labels,
        positions,
        segments,
        tuple(spans),
        media,
        ids,
        truths,
        branches=branches if any(example.answers for example in examples) else None,
        drawn=tuple(example.drawn for example in examples),
    )


def _fork(example: Example) -> tuple[int, ...]:
    """The lengths of the prompt and of the answers behind it; without several, of all."""
    return (len(example) - sum(example.answers), *example.answers)


def _branches(example: Example) -> list[int]:
    prompt, *answers = _fork(example)
    return [-1] * prompt + [n for n, length in enumerate(answers) for _ in range(length)]


def _idle(pad_id: int) -> Batch:
    zeros = torch.zeros(1, 1, dtype=torch.long)
    return Batch(zeros + pad_id, zeros + IGNORED, zeros, zeros.clone(), (), {}, (), ())


def _items_of(example: Example) -> dict[str, int]:
    """The number of each item among those of its modality, by their first spans."""
    spans = sorted(example.spans, key=lambda span: span.start)
    names = dict.fromkeys([*(span.modality for span in spans), *example.media])
    before: dict[str, int] = {}
    numbers = {}
    for name in names:
        numbers[name] = before.setdefault(modality_of(name), 0)
        before[modality_of(name)] += 1
    return numbers


def _media(examples: Sequence[Example]) -> dict[str, MediaBatch]:
    found: dict[str, list[tuple[int, str]]] = {}
    for number, example in enumerate(examples):
        for name in _items_of(example):
            if name in example.media:
                found.setdefault(modality_of(name), []).append((number, name))
    return {name: _items(name, examples, owned) for name, owned in sorted(found.items())}


def _items(
    modality: str, examples: Sequence[Example], owned: Sequence[tuple[int, str]]
) -> MediaBatch:
    owners = [number for number, _ in owned]
    if len({examples[i].encoded for i in owners}) > 1:
        raise DataError(
            f"batch, {modality}",
            "encoder inputs and encoder states mixed",
            fix="give every row of the manifest `features`, or none",
        )
    items = [examples[number].media[name] for number, name in owned]
    patches = [item for item in items if isinstance(item, Patches)]
    arrays = [item.values if isinstance(item, Patches) else np.asarray(item) for item in items]
    longest = max(len(array) for array in arrays)
    wire = np.uint8 if all(array.dtype == np.uint8 for array in arrays) else np.float32
    values = torch.from_numpy(np.zeros((len(arrays), longest, *arrays[0].shape[1:]), wire))
    mask = torch.zeros(len(arrays), longest, dtype=torch.bool)
    for row, array in enumerate(arrays):
        values[row, : len(array)] = torch.from_numpy(array.astype(wire, copy=False))
        mask[row, : len(array)] = True
    return MediaBatch(
        values,
        mask,
        tuple(owners),
        examples[owners[0]].encoded,
        grids=tuple(item.grid for item in patches),
        steps_s=tuple(item.step_s for item in patches),
    )
