"""AffectGPT's attention pre-fusion: two modalities' time means, weighted and added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import nn

from affect_mllm.models.encoders.base import States
from affect_mllm.models.fusion.base import Fusion, means, present


class AttentionFusion(Fusion):
    """Encoder states of several streams → one fused vector `[B, 1, common]`.

    Each stream's mean over time is mapped to a common width; two linear layers on the
    concatenation give one weight a stream; the fused vector is the weighted sum (Lian et al.
    2025, AffectGPT, pre-fusion; zeroQiaoba/AffectGPT@fffca79). The original has neither a
    non-linearity nor a softmax: `normalize="none"`. `softmax` runs over the streams that are
    there. An absent stream adds nothing and takes no weight.
    `input_norm` normalises each stream's mean before it is mapped.
    """

    def __init__(
        self,
        input_sizes: Mapping[str, int],
        *,
        hidden_size: PositiveInt = 512,
        normalize: Literal["softmax", "none"] = "none",
        input_norm: bool = False,
    ) -> None:
        super().__init__(input_sizes, hidden_size=hidden_size)
        self.normalize = normalize
        self.norms = nn.ModuleDict(
            {
                name: nn.LayerNorm(size) if input_norm else nn.Identity()
                for name, size in input_sizes.items()
            }
        )
        self.embed = nn.ModuleDict(
            {name: nn.Linear(size, hidden_size) for name, size in input_sizes.items()}
        )
        self.attention = nn.Linear(hidden_size * len(self.streams), hidden_size)
        self.weights = nn.Linear(hidden_size, len(self.streams))

    def forward(self, streams: Sequence[States]) -> torch.Tensor:
        """`[B, 1, hidden_size]`."""
        there = present(streams)
        embedded = torch.stack(
            [
                self.embed[name](self.norms[name](means(stream))).masked_fill(~there[:, i, None], 0)
                for i, (name, stream) in enumerate(zip(self.streams, streams, strict=True))
            ],
            dim=1,
        )
        weights = self.weights(self.attention(embedded.flatten(1)))
        if self.normalize == "softmax":
            weights = weights.masked_fill(~there, torch.finfo(weights.dtype).min).softmax(-1)
        weights = weights.masked_fill(~there, 0)
        return (weights.unsqueeze(-1) * embedded).sum(1, keepdim=True)
