"""Gradients as lists of tensors: norms and clipping by torch's foreach kernels, buckets to send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch

BUCKET = 1 << 25  # numbers that are added up over ranks at a time


def buckets(tensors: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Consecutive tensors of one dtype, about `BUCKET` numbers at a time."""
    bucket: list[torch.Tensor] = []
    for tensor in tensors:
        full = sum(t.numel() for t in bucket) + tensor.numel() > BUCKET
        if bucket and (full or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


def squares(groups: Mapping[str, Sequence[torch.Tensor]], device: torch.device) -> torch.Tensor:
    """The squared norm of each group's gradients `[G]`, in float64: in float32 it depends on how
    they are split over ranks.
    """
    found = []
    for grads in groups.values():
        norms = torch._foreach_norm(list(grads), 2, dtype=torch.float64) if grads else ()
        found.append(torch.stack(norms).square().sum() if norms else None)
    zero = torch.zeros((), dtype=torch.float64, device=device)
    return torch.stack([zero if each is None else each for each in found])


def multiply(grads: Sequence[torch.Tensor], factor: float) -> None:
    """All of them, in place."""
    if factor != 1 and grads:
        torch._foreach_mul_(list(grads), factor)
