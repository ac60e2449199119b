"""Numbers that Python knows, on the device without waiting for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from affect_mllm.moving import moved


def on_device(
    values: torch.Tensor | Sequence[Any], device: torch.device, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """`values` (a list, or a tensor) on `device`, without waiting for it (`moving.moved`)."""
    return moved(torch.as_tensor(values, dtype=dtype), device)
