"""Loss scaling for fp16: gradients that would vanish are scaled up, overflows are left out."""

from __future__ import annotations

import math

import torch

START, GROWTH_STEPS, LARGEST = 2.0**16, 2000, 2.0**24


class LossScale:
    """A factor on the loss; halved after an overflow, doubled after many steps without one.

    The scheme of mixed-precision training (arXiv 1710.03740 §3.2). Not enabled, it does nothing.
    """

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self.value: tuple[float, int] = (
            START if enabled else 1.0,
            0,
        )  # the factor, and steps since it changed

    @property
    def may_shrink(self) -> bool:
        """Whether a gradient that is not finite may be the factor's fault: below 1 it is not."""
        return self.enabled and self.value[0] >= 1

    def up(self, loss: torch.Tensor) -> torch.Tensor:
        """The loss to differentiate."""
        return loss * self.value[0] if self.enabled else loss

    def keep(self, norm: float) -> bool:
        """Whether to take the step of this gradient norm, which is the same on all ranks."""
        if not self.enabled:
            return math.isfinite(norm)
        factor, steps = self.value
        if not math.isfinite(norm):
            self.value = (factor / 2, 0)
            return False
        grown = steps + 1 >= GROWTH_STEPS
        self.value = (min(2 * factor, LARGEST), 0) if grown else (factor, steps + 1)
        return True
