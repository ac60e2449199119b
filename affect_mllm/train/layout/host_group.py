"""The group in which processes tell each other what their hosts know: numbers and words."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

import torch
import torch.distributed as dist


def host_group(device: torch.device, timeout: timedelta) -> Any:
    """Gloo's, made once a process; None is torch's own group, where that is gloo's or none.

    NCCL has to bring numbers to the GPU and back, and what is read of a GPU waits for all that is
    queued there.
    """
    if device.type == "cpu" or not dist.is_initialized():
        return None
    return _gloo(timeout)


@cache
def side_group(timeout: timedelta) -> Any:
    """One more, for a thread beside the steps: what two threads send over one group may cross.

    All ranks make it together; None is one process.
    """
    return dist.new_group(backend="gloo", timeout=timeout) if dist.is_initialized() else None


@cache
def _gloo(timeout: timedelta) -> Any:
    return dist.new_group(backend="gloo", timeout=timeout)
