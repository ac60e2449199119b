"""Numbers that Python knows, on the device without waiting for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def on_device(
    values: torch.Tensor | Sequence[Any], device: torch.device, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """`values` (a list, or a tensor) on `device`.

    To a CUDA device it goes from pinned memory: the copy runs beside the kernels that are queued,
    where one from pageable memory waits for them.
    """
    found = torch.as_tensor(values, dtype=dtype)
    if device.type != "cuda" or found.device.type != "cpu":
        return found.to(device)
    return found.pin_memory().to(device, non_blocking=True)
