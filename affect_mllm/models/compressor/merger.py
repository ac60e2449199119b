"""One expert of a compressor: neighbouring states merged by an MLP, then pooled to LLM tokens."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

import torch
from pydantic import PositiveInt
from torch import nn

from affect_mllm.models.compressor.base import Expert, Pooler
from affect_mllm.models.spans import Then, TokenCount
from affect_mllm.types import ConfigError, DataError


class Merger(Expert):
    """`[N, S, D]` → `[N, K, H]`: norm, `merge` neighbours side by side, MLP, pool, norm.

    Qwen2.5-VL's merger joins 2 × 2 patches by an MLP; the vision encoders here give their cells
    row by row, so `merge = grid²` joins one frame, and with `grid` (the cells of a frame are
    `grid × grid`) a square of `merge` cells is joined, `merge=4` being 2 × 2. The pooler makes
    `num_tokens` of the merged states; without one (`pooler: null`) each stays a token. The output
    is scaled to `output_rms`, the size of the LLM's own token embeddings, without which a frozen
    LLM barely reacts to the new tokens.
    `hidden_size` is the MLP's width.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        pooler: Callable[[int], Pooler] | None,
        merge: PositiveInt = 1,
        grid: PositiveInt | None = None,
        hidden_size: PositiveInt = 1024,
        output_rms: float = 1.0,
    ) -> None:
        super().__init__()
        self.states_per_token, self.grid = merge, grid
        if grid is not None and (isqrt(merge) ** 2 != merge or grid % isqrt(merge)):
            raise ConfigError(
                "expert.merge", f"{merge} of {grid} × {grid}", expected="a square that divides it"
            )
        self.frame_states = 1 if grid is None else grid**2
        self.norm = nn.LayerNorm(input_size)
        self.mlp = nn.Sequential(
            nn.Linear(input_size * merge, hidden_size),
            nn.GELU(),
            nn.Linear(hidden_size, output_size),
        )
        self.pooler = pooler(output_size) if pooler is not None else None
        if self.pooler is not None:
            self.num_tokens = self.pooler.num_tokens
            self.most_states = merge * self.pooler.most_states
            self._check_frames(self.pooler)
            if self.pooler.output_size != output_size:
                raise ConfigError(
                    "expert.pooler", f"{self.pooler.output_size} wide", expected=f"{output_size}"
                )
        self.output_norm = nn.RMSNorm(output_size)
        nn.init.constant_(self.output_norm.weight, output_rms)

    def token_count(self) -> TokenCount:
        """The pooler's, of the merged states."""
        merged = super().token_count()
        return merged if self.pooler is None else Then(merged, self.pooler.token_count())

    def token_mask(self, mask: torch.Tensor) -> torch.Tensor | None:
        """The pooler's, of the merged states."""
        merged = mask[:, :: self.states_per_token]
        return merged if self.pooler is None else self.pooler.token_mask(merged)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """LLM tokens `[N, K, H]`. A group of neighbours is real if its first state is."""
        merged = self.mlp(self.groups(self.norm(states), mask).flatten(2))
        if self.pooler is not None:
            merged = self.pooler(merged, mask[:, :: self.states_per_token])
        return self.output_norm(merged.float())

    def groups(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Neighbours side by side: `[N, G, merge, D]`; with `grid`, squares of a frame."""
        if self.grid is None:
            return super().groups(states, mask)
        side, cells = isqrt(self.states_per_token), self.grid
        if states.shape[1] % cells**2:
            raise DataError(
                "merger", f"{states.shape[1]} states", expected=f"frames of {cells} × {cells} cells"
            )
        states = states.masked_fill(~mask.unsqueeze(-1), 0)
        squares = states.unflatten(1, (-1, cells // side, side, cells // side, side))
        return squares.transpose(3, 4).flatten(1, 3).flatten(2, 3)

    def means(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The mean state of each token `[N, K, D]`."""
        means = super().means(states, mask)
        if self.pooler is None:
            return means
        return self.pooler(means, mask[:, :: self.states_per_token])

    def _check_frames(self, pooler: Pooler) -> None:
        """A pooler that wants whole frames gets them: 2 × 2 of 4 × 4 cells are frames of 2 × 2."""
        if pooler.frame_states == 1:
            return
        cells = pooler.frame_states * self.states_per_token
        if cells != (self.frame_states if self.grid else pooler.frame_states):
            raise ConfigError(
                "expert.pooler",
                f"frames of {pooler.frame_states} cells",
                expected="as many as `merge` leaves of `grid × grid`",
            )
        self.frame_states = cells
