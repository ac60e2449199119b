"""Poolers: a masked sequence of states to a fixed number of tokens, `output_size` wide."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import nn

from affect_mllm.models.compressor.base import Pooler
from affect_mllm.models.qformer import QFormer, QFormerShape

Normalize = Literal["softmax", "none"]


class MeanPooler(Pooler):
    """The mean over real states: `[N, S, D]`, mask `[N, S]` → `[N, 1, D]`."""

    num_tokens = 1

    def __init__(self, width: int) -> None:
        super().__init__()
        self.output_size = width

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`[N, 1, D]`; an item without any real state gives zeros."""
        weights = mask.to(states.dtype).unsqueeze(-1)
        return (states * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True).clamp_min(1)


class AttentionPooler(Pooler):
    """Learned scores over the states, one set for each output token.

    `normalize="none"` is AffectGPT's pooler, whose scores are not a softmax
    (zeroQiaoba/AffectGPT@fffca79: `z = Zᵀ·Linear(Z)`); `softmax` makes each token a convex
    combination of the real states. Masked states never count. `[N, S, D]` → `[N, K, D]`.
    """

    def __init__(
        self, width: int, *, num_tokens: PositiveInt = 1, normalize: Normalize = "softmax"
    ) -> None:
        super().__init__()
        self.num_tokens, self.normalize = num_tokens, normalize
        self.output_size = width
        self.score = nn.Linear(width, num_tokens)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`[N, K, D]`; an item without any real state gives zeros."""
        scores = self.score(states)
        hidden = ~mask.unsqueeze(-1)
        if self.normalize == "softmax":
            lowest = torch.finfo(scores.dtype).min
            scores = scores.masked_fill(hidden, lowest).softmax(dim=1)
        return scores.masked_fill(hidden, 0).transpose(1, 2) @ states


class SegmentPooler(Pooler):
    """The means of `num_tokens` equal stretches of time, for cues that unfold: → `[N, K, D]`.

    A stretch is a share of the item's own real length (its real states come first), so padding
    changes nothing. A clip shorter than K states repeats its nearest ones.
    """

    def __init__(self, width: int, *, num_tokens: PositiveInt = 4) -> None:
        super().__init__()
        self.output_size, self.num_tokens = width, num_tokens

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`[N, K, D]`."""
        length = mask.sum(1, keepdim=True).clamp_min(1)
        place = torch.arange(states.shape[1], device=states.device)
        token = torch.arange(self.num_tokens, device=states.device)
        first = (token * length) // self.num_tokens
        last = torch.maximum(((token + 1) * length - 1) // self.num_tokens, first)
        inside = (place >= first.unsqueeze(-1)) & (place <= last.unsqueeze(-1))
        weights = (inside & mask.unsqueeze(1)).to(states.dtype)
        return weights @ states / weights.sum(-1, keepdim=True).clamp_min(1)


class QFormerPooler(Pooler):
    """A Q-Former's queries read the states: `[N, S, D]` → `[N, K, hidden size of the Q-Former]`.

    AffectGPT's alternative to attention (zeroQiaoba/AffectGPT@fffca79): 32 positions of frames or 8
    of sounds, two layers. `positions` is the most states that an item may have.
    `shape` has the sizes of the Q-Former (null: its defaults).
    """

    def __init__(
        self,
        width: int,
        *,
        num_tokens: PositiveInt = 32,
        positions: PositiveInt = 32,
        shape: QFormerShape | None = None,
    ) -> None:
        super().__init__()
        shape = shape or QFormerShape()
        self.output_size, self.num_tokens = shape.hidden_size, num_tokens
        self.most_states = positions
        self.qformer = QFormer(width, queries=num_tokens, positions=positions, shape=shape)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`[N, K, output_size]`; an item without any real state gives zeros."""
        return self.qformer(states, mask)
