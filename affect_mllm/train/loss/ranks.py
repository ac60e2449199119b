"""Losses that compare items of all ranks: others' values are constants, one's own have gradients.

Every rank computes the whole loss; since gradients are added up over ranks, each item's gradient
is taken once, where the item is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import distributed


class Gathered(NamedTuple):
    """Rows `[N, D]` of all ranks in their order, and an integer key of each."""

    rows: torch.Tensor
    keys: torch.Tensor


def ranks() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def gather_rows(rows: torch.Tensor, keys: torch.Tensor) -> Gathered:
    """All ranks' rows, which may be unequally many; only this rank's can be differentiated."""
    if ranks() == 1:
        return Gathered(rows, keys)
    counts = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(ranks())]
    distributed.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    sizes = [int(count) for count in counts]
    padded = rows.new_zeros(max(sizes), rows.shape[1])
    padded[: len(rows)] = rows.detach()
    padded_keys = keys.new_zeros(max(sizes))
    padded_keys[: len(keys)] = keys
    all_rows = [torch.empty_like(padded) for _ in sizes]
    all_keys = [torch.empty_like(padded_keys) for _ in sizes]
    distributed.all_gather(all_rows, padded)
    distributed.all_gather(all_keys, padded_keys)
    all_rows[distributed.get_rank()] = rows
    return Gathered(
        torch.cat([part[:size] for part, size in zip(all_rows, sizes, strict=True)]),
        torch.cat([part[:size] for part, size in zip(all_keys, sizes, strict=True)]),
    )


def sum_over_ranks(parts: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Each named vector added up over ranks; a rank need not have all names.

    The gradient flows to this rank's part.
    """
    if ranks() == 1:
        return dict(parts)
    plain = {name: part.detach().tolist() for name, part in parts.items()}
    found: list[dict[str, list[float]] | None] = [None] * ranks()
    distributed.all_gather_object(found, plain)
    others = [each for rank, each in enumerate(found) if each and rank != distributed.get_rank()]
    like = next(iter(parts.values())) if parts else torch.zeros(())
    sums: dict[str, torch.Tensor] = {}
    for name in sorted({name for each in found if each for name in each}):
        own = parts.get(name)
        values = [like.new_tensor(each[name]) for each in others if name in each]
        sums[name] = sum(values[1:], values[0]) if own is None else sum(values, own)
    return sums
