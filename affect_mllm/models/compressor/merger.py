"""One expert of a compressor: neighbouring states merged by an MLP, then pooled to LLM tokens."""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import PositiveInt
from torch import nn


class Merger(nn.Module):
    """`[N, S, D]` → `[N, K, H]`: norm, `merge` neighbours side by side, MLP, pool, norm.

    Qwen2.5-VL's merger joins 2 × 2 patches by an MLP; the vision encoders here give their cells
    row by row, so `merge = grid²` joins one frame. The pooler then makes `num_tokens` of them.
    The output is scaled to `output_rms`, the size of the LLM's own token embeddings, without
    which a frozen LLM barely reacts to the new tokens.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        pooler: Callable[[int], nn.Module],
        merge: PositiveInt = 1,
        hidden_size: PositiveInt = 1024,
        output_rms: float = 1.0,
    ) -> None:
        super().__init__()
        self.merge = merge
        self.norm = nn.LayerNorm(input_size)
        self.mlp = nn.Sequential(
            nn.Linear(input_size * merge, hidden_size),
            nn.GELU(),
            nn.Linear(hidden_size, output_size),
        )
        self.pooler = pooler(output_size)
        self.num_tokens = int(self.pooler.num_tokens)  # type: ignore[arg-type]
        self.output_norm = nn.RMSNorm(output_size)
        nn.init.constant_(self.output_norm.weight, output_rms)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """LLM tokens `[N, K, H]`. A group of neighbours is real if its first state is."""
        states = self.norm(states).masked_fill(~mask.unsqueeze(-1), 0)
        short = -states.shape[1] % self.merge
        if short:
            states = nn.functional.pad(states, (0, 0, 0, short))
            mask = nn.functional.pad(mask, (0, short))
        groups = states.unflatten(1, (-1, self.merge)).flatten(2)
        pooled = self.pooler(self.mlp(groups), mask[:, :: self.merge])
        return self.output_norm(pooled.float())
