"""A step's micro-batches on the device, one ahead of what computes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import torch

from affect_mllm.types import Batch


class _Coming(NamedTuple):
    """A batch whose copies are queued, and the event behind them."""

    batch: Batch
    copied: torch.cuda.Event

    def here(self) -> Batch:
        """The batch, for what is queued from now on.

        The allocator has to know that another stream than the copies' reads its tensors, or it
        would give their memory away too early.
        """
        computing = torch.cuda.current_stream()
        computing.wait_event(self.copied)

        def read(tensor: torch.Tensor) -> torch.Tensor:
            if tensor.device.type == "cuda":
                tensor.record_stream(computing)
            return tensor

        return self.batch.each(read)


def moving(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Each of `batches` on `device`; on CUDA the next one's copies run while it computes.

    So there are two of them there at most, and the host waits for neither.
    """
    if device.type != "cuda":
        yield from (batch.to(device) for batch in batches)
        return
    ahead: _Coming | None = None
    for batch in batches:
        coming = _begun(batch, device)
        if ahead is not None:
            yield ahead.here()
        ahead = coming
    if ahead is not None:
        yield ahead.here()


def _begun(batch: Batch, device: torch.device) -> _Coming:
    copies = _stream(device)
    with torch.cuda.stream(copies):
        return _Coming(batch.to(device), copies.record_event())


@cache
def _stream(device: torch.device) -> Any:
    """The one that copies: a stream has a pool of memory of its own."""
    return torch.cuda.Stream(device)
