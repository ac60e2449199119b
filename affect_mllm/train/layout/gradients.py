"""Gradients as lists of tensors: norms and clipping by torch's foreach kernels, buckets to send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

BUCKET = 1 << 25  # numbers that are added up over ranks at a time


def buckets(tensors: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Consecutive tensors of one dtype, about `BUCKET` numbers at a time."""
    bucket: list[nn.Parameter] = []
    for tensor in tensors:
        full = sum(t.numel() for t in bucket) + tensor.numel() > BUCKET
        if bucket and (full or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


class OverRanks:
    """Adds each parameter's gradient up over ranks, a bucket at a time, while backward goes on.

    As torch's DistributedDataParallel does (Li et al., arXiv 2006.15704 §3.2): buckets hold the
    parameters from the last to the first, as their gradients come, and every rank sends them in
    this one order, each when the last pass of a step has brought all of its gradients. They have
    a process group of their own, so that a loss may talk to other ranks meanwhile.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], *, timeout: timedelta) -> None:
        self.group: Any = dist.new_group(timeout=timeout)
        self.buckets = list(buckets(list(reversed(parameters))))
        self.place = {each: n for n, bucket in enumerate(self.buckets) for each in bucket}
        self.missing: list[set[torch.Tensor]] = []  # by bucket, while the last pass runs
        self.sent: list[tuple[torch.Tensor, dist.Work]] = []
        self.hooks = [each.register_post_accumulate_grad_hook(self._came) for each in parameters]

    def begin(self) -> None:
        """The step's last pass begins: what comes now is whole."""
        self.missing = [set(bucket) for bucket in self.buckets]

    def finish(self) -> None:
        """Send what is left and wait for all; every parameter has a gradient by now."""
        self.missing = []
        while len(self.sent) < len(self.buckets):
            self._send()
        for bucket, (flat, work) in zip(self.buckets, self.sent, strict=True):
            work.wait()
            grads = [each.grad for each in bucket if each.grad is not None]
            sums = flat.split([grad.numel() for grad in grads])
            torch._foreach_copy_(grads, [s.view_as(g) for s, g in zip(sums, grads, strict=True)])
        self.sent = []

    def close(self) -> None:
        """Let go of parameters, and of the group unless a step that was given up waits there."""
        for hook in self.hooks:
            hook.remove()
        if not self.sent:
            dist.destroy_process_group(self.group)

    def _came(self, parameter: torch.Tensor) -> None:
        if not self.missing:
            return
        place = self.place[parameter]  # type: ignore[index]
        if parameter not in self.missing[place]:
            raise RuntimeError(
                "a parameter's gradient came twice in one pass: re-entrant checkpointing cannot go "
                "with launch=ddp; switch it off (use_reentrant=False)"
            )
        self.missing[place].discard(parameter)
        while len(self.sent) < len(self.buckets) and not self.missing[len(self.sent)]:
            self._send()

    def _send(self) -> None:
        bucket = self.buckets[len(self.sent)]
        flat = torch.cat([each.grad.reshape(-1) for each in bucket if each.grad is not None])
        self.sent.append((flat, dist.all_reduce(flat, group=self.group, async_op=True)))


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
