"""How many tokens the audio towers of Qwen's omni models make of so many log-mel frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import torch

Count = TypeVar("Count", int, torch.Tensor)


@dataclass(frozen=True)
class SoundCount:
    """Frames of 10 ms to tokens.

    `half`: Qwen2.5-Omni's and Qwen2-Audio's, one for two states of two frames, 25 a second, and
    none for two frames or fewer. `eighth`: Qwen3-Omni's, one for eight frames or a part of them in
    every `window` by itself, 13 a second.
    """

    kind: Literal["half", "eighth"]
    window: int = 100

    def __call__(self, array: np.ndarray) -> int:
        """The tokens of one item's frames `[T, B]`."""
        return self.of(len(array))

    def of(self, frames: Count) -> Count:
        """The tokens of so many frames."""
        if self.kind == "half":
            return (frames + 1) // 2 // 2
        return frames // self.window * -(-self.window // 8) + -(-(frames % self.window) // 8)

    @property
    def least(self) -> int:
        """The fewest frames that make a token."""
        return 3 if self.kind == "half" else 1
