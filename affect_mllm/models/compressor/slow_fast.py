"""Slow-fast pooling of a clip's frames: a few in full, and a little of every one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import PositiveInt
from torch.nn.functional import avg_pool2d

from affect_mllm.models.compressor.base import Pooler
from affect_mllm.types import ConfigError


@dataclass(frozen=True)
class SlowFastCount:
    """`cells` tokens of every `every`th frame, from the first on, and `few` of each frame."""

    cells: int
    few: int
    every: int

    def __call__(self, states: int) -> int:
        """The count for an item with `states` states."""
        frames = states // self.cells
        return -(-frames // self.every) * self.cells + frames * self.few


class SlowFastPooler(Pooler):
    """Frames of `grid × grid` cells `[N, T·grid², D]` → slow tokens, then fast ones `[N, K, D]`.

    Slow: all cells of every `every`th frame, from the first on. Fast: each frame averaged over
    squares of `pool × pool` cells. K is `ceil(T / every)·grid² + T·(grid / pool)²` for a clip of T
    frames. Published (HumanOmni, arXiv 2501.15111; HumanMLLM/HumanOmni@26fa491,
    `humanomni_arch.py`): all frames pooled 2 × 2 and every 4th in full. Inferred: that the first
    frame is a slow one, and that slow tokens come first. Nothing is learned.
    """

    def __init__(
        self,
        width: int,
        *,
        grid: PositiveInt,
        every: PositiveInt = 4,
        pool: PositiveInt = 2,
    ) -> None:
        super().__init__()
        if grid % pool:
            raise ConfigError("pooler.pool", f"{pool} of {grid} × {grid}", expected="a divisor")
        self.output_size = width
        self.grid, self.every, self.pool = grid, every, pool
        self.frame_states = grid**2

    def token_count(self) -> SlowFastCount:
        """Of whole frames."""
        return SlowFastCount(self.frame_states, (self.grid // self.pool) ** 2, self.every)

    def token_mask(self, mask: torch.Tensor) -> torch.Tensor:
        """True `[N, K]` where a token's frame is real."""
        frames = self.frames(mask)[..., 0]
        slow = frames[:, :: self.every].repeat_interleave(self.frame_states, 1)
        return torch.cat([slow, frames.repeat_interleave((self.grid // self.pool) ** 2, 1)], 1)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`[N, K, D]`, zeros where masked. Raises DataError for a part of a frame."""
        frames = self.frames(states.masked_fill(~mask.unsqueeze(-1), 0))
        slow = frames[:, :: self.every].flatten(1, 2)
        maps = frames.flatten(0, 1).transpose(1, 2).unflatten(2, (self.grid, self.grid))
        fast = avg_pool2d(maps, self.pool).flatten(2).transpose(1, 2)
        return torch.cat([slow, fast.reshape(len(states), -1, states.shape[-1])], 1)
