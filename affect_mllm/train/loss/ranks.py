"""Losses that compare items of all ranks: others' values are constants, one's own have gradients.

Every rank computes the whole loss; since gradients are added up over ranks, each item's gradient
is taken once, where the item is.
"""

from __future__ import annotations

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


def sum_over_ranks(part: torch.Tensor) -> torch.Tensor:
    """`part` added up over ranks, of one shape on all; the gradient flows to this rank's."""
    if ranks() == 1:
        return part
    total = part.detach().clone()
    distributed.all_reduce(total)
    return total + (part - part.detach())
