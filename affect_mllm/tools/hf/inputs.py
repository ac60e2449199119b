"""A batch as the flat tensors of transformers' models, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from affect_mllm.types import MODALITIES, Batch, MediaBatch, Span

Media = Mapping[str, Mapping[str, torch.Tensor]]


def to_inputs(batch: Batch) -> dict[str, Any]:
    """`input_ids`, `attention_mask` `[N, L]`, `spans` `[S, 5]` and `media` of unpacked prompts.

    A span is (modality's number, row, start, length, number of the item in its row).
    `media[modality]` has `values`, `mask`, `rows`, and for patches `grids` and `steps_s`.
    """
    spans = [[MODALITIES.index(s.modality), s.row, s.start, s.length, s.item] for s in batch.spans]
    return {
        "input_ids": batch.input_ids,
        "attention_mask": (batch.segments >= 0).long(),
        "spans": torch.tensor(spans, dtype=torch.long).reshape(-1, 5),
        "media": {name: _tensors(items) for name, items in batch.media.items()},
    }


def to_batch(
    input_ids: torch.Tensor, attention_mask: torch.Tensor, spans: torch.Tensor, media: Media
) -> Batch:
    """The batch of right-padded prompts, one a row."""
    rows, length = input_ids.shape
    place = torch.arange(length, device=input_ids.device).expand(rows, -1)
    number = torch.arange(rows, device=input_ids.device).unsqueeze(1)
    found = (
        Span(MODALITIES[modality], start, size, row=row, example=row, item=item)
        for modality, row, start, size, item in spans.tolist()
    )
    return Batch(
        input_ids,
        torch.full_like(input_ids, -100),
        place.clone(),
        torch.where(attention_mask.bool(), number, -1),
        tuple(found),
        {name: _items(given) for name, given in media.items()},
        tuple(str(row) for row in range(rows)),
    )


def _tensors(items: MediaBatch) -> dict[str, torch.Tensor]:
    given = {
        "values": items.values,
        "mask": items.mask,
        "rows": torch.tensor(items.examples),
    }
    if items.grids:
        given |= {"grids": torch.tensor(items.grids), "steps_s": torch.tensor(items.steps_s)}
    return given


def _items(given: Mapping[str, torch.Tensor]) -> MediaBatch:
    grids = given["grids"].tolist() if "grids" in given else []
    steps_s = given["steps_s"].tolist() if "steps_s" in given else []
    return MediaBatch(
        given["values"],
        given["mask"],
        tuple(given["rows"].tolist()),
        encoded=False,
        grids=tuple((t, h, w) for t, h, w in grids),
        steps_s=tuple(steps_s),
    )
