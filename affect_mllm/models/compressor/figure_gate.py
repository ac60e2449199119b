"""The gate as Emotion-Qwen's figure draws it, for weights that were trained with it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import PositiveInt
from torch import nn
from torch.nn.functional import relu

from affect_mllm.models.compressor.gate import BaseGate
from affect_mllm.models.compressor.poolers import MeanPooler


class LoneAttention(nn.Module):
    """Self-attention of one state `[N, 1, D]`, which is its value, whatever query and key are.

    It has all weights of torch's attention; its maps are modules that run, as ZeRO-3 and FSDP need
    it, which those of torch's class are not.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        """`[N, 1, D]`."""
        return self.out_proj(self.in_proj(state).chunk(3, -1)[2])


class FigureGate(BaseGate):
    """The mean of an item's states → self-attention → two of (linear, ReLU, norm) → `[N, 1, E]`.

    After the figure of Emotion-Qwen (arXiv 2505.06685), which draws no softmax, and what is known
    of `gatenet` in the weights of 24DavidHuang/Emotion-Qwen@8c52bf3: one state `[1, D]` goes in,
    two weights come out. That the state is the mean is inferred.

    `hidden_size` is the width of its maps; `input_size`, `experts` and `num_tokens` are given by
    the compressor that it is a part of, and it has one set of weights for all tokens.
    """

    def __init__(
        self,
        input_size: int,
        experts: int,
        *,
        num_tokens: int = 0,
        hidden_size: PositiveInt = 128,
    ) -> None:
        super().__init__()
        del num_tokens  # one weight for all tokens of an item
        self.pool = MeanPooler(input_size)
        self.attention = LoneAttention(input_size)
        self.hidden = nn.Linear(input_size, hidden_size)
        self.hidden_norm = nn.LayerNorm(hidden_size)
        self.output = nn.Linear(hidden_size, experts)
        self.output_norm = nn.LayerNorm(experts)

    def weigh(
        self, features: torch.Tensor, mask: torch.Tensor, allowed: Sequence[bool]
    ) -> torch.Tensor:
        """`[N, 1, E]` of features `[N, S, D]`, whatever is allowed."""
        assert self.pool is not None
        seen = self.attention(self.pool(features.float(), mask))
        hidden = self.hidden_norm(relu(self.hidden(seen)))
        return self.output_norm(relu(self.output(hidden))).float()
