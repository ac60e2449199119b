"""Tensors from the host to a device, without the host waiting for what is queued there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`tensor` on `device`, itself where it is there.

    To a CUDA device it goes from pinned memory (a loader has pinned its batches already): the copy
    runs beside the kernels that are queued, where one from pageable memory waits for them. Back
    to the host it is waited for: what is read there has to have come.
    """
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    pinned = tensor if tensor.is_pinned() else tensor.pin_memory()
    return pinned.to(device, non_blocking=True)
