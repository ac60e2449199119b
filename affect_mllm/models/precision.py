"""Autocast as the model asks about it; on the meta device, which has none, it is off."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def autocasts(device: torch.device) -> bool:
    """Whether products on `device` are computed in lower precision now."""
    return device.type != "meta" and torch.is_autocast_enabled(device.type)


def own_precision(device: torch.device) -> AbstractContextManager[object]:
    """Inside it, products are computed in the precision of their factors."""
    if device.type == "meta":
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
