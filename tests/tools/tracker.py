"""torch's own accounting of memory, for models that are mostly frozen."""

from __future__ import annotations

import torch
from torch.distributed._tools.mem_tracker import MemTracker


class Handle:
    """What removes a hook that was never set."""

    def remove(self) -> None:
        """Nothing."""


class Tracker(MemTracker):
    """torch's tracker, which would set a gradient's hook on frozen weights too and fail."""

    def _track_module_params_and_buffers(
        self, module: torch.nn.Module, install_grad_hooks: bool = True
    ) -> tuple[int, int]:
        for parameter in module.parameters():
            if not parameter.requires_grad:
                self._param_to_grad_hook_handles[parameter] = (Handle(), Handle())
        return super()._track_module_params_and_buffers(module, install_grad_hooks)
