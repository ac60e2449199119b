"""The real ones among padded items, by what the host knows of their mask: no wait for a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from affect_mllm.models.indices import on_device

_KNOWN: ContextVar[tuple[torch.Tensor, torch.Tensor] | None] = ContextVar("mask", default=None)


@contextmanager
def known(mask: torch.Tensor, host: torch.Tensor) -> Iterator[None]:
    """Inside, the host's copy of `mask` is `host`."""
    before = _KNOWN.set((mask, host))
    try:
        yield
    finally:
        _KNOWN.reset(before)


def on_host(mask: torch.Tensor) -> torch.Tensor:
    """`mask` on the CPU; asked of the device, once, where the host does not know it."""
    found = _KNOWN.get()
    return found[1] if found is not None and found[0] is mask else mask.cpu()


def picked(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What is real of `values` `[N, T, …]` by a `mask` `[N, T]` on the host, as `[M, …]`."""
    return values.flatten(0, 1)[_places(mask, values.device)]


def put_back(found: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What `picked` gave, or what was made of it, at its places `[N, T, …]`; zeros elsewhere."""
    whole = found.new_zeros(mask.numel(), *found.shape[1:])
    whole[_places(mask, found.device)] = found
    return whole.unflatten(0, mask.shape)


def _places(mask: torch.Tensor, device: torch.device) -> torch.Tensor:
    return on_device(mask.flatten().nonzero().squeeze(1), device)
