"""Conv-attention pre-fusion after Emotion-LLaMA v2: weighted step by step, then convolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from pydantic import PositiveInt
from torch import nn
from torch.nn.functional import silu

from affect_mllm.models.compressor.poolers import SegmentPooler
from affect_mllm.models.encoders.base import States
from affect_mllm.models.fusion.base import Fusion, present


class ConvAttentionFusion(Fusion):
    """Encoder states of several streams → `[B, num_states, 2 · size]`.

    Published (arXiv 2601.16449; ooochen-30/Emotion-LLaMA-v2@5f0a408, `convpro_model.py`): streams
    of 64 steps, an MLP 512 → 128 each, attention over the streams without a softmax, four residual
    blocks of a convolution over three steps and SiLU, 256 wide at the end, an absent stream masked.
    Inferred: the weights come from the concatenation by two linear maps, as in AffectGPT; the 256
    are the attended and the convolved steps side by side. Ours: streams of any length are averaged
    to the steps, and an absent stream adds nothing at all (there, its zeros still passed the MLP).
    """

    def __init__(
        self,
        input_sizes: Mapping[str, int],
        *,
        num_states: PositiveInt = 64,
        size: PositiveInt = 128,
        inner_size: PositiveInt = 512,
        blocks: PositiveInt = 4,
    ) -> None:
        super().__init__(input_sizes, hidden_size=2 * size)
        self.num_states = num_states
        self.resample = SegmentPooler(0, num_tokens=num_states)
        self.embed = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Linear(width, inner_size), nn.GELU(), nn.Linear(inner_size, size)
                )
                for name, width in input_sizes.items()
            }
        )
        self.attention = nn.Linear(size * len(self.streams), size)
        self.weights = nn.Linear(size, len(self.streams))
        self.blocks = nn.ModuleList(nn.Conv1d(size, size, 3, padding=1) for _ in range(blocks))

    def forward(self, streams: Sequence[States]) -> torch.Tensor:
        """`[B, num_states, hidden_size]`."""
        there = present(streams)
        embedded = torch.stack(
            [
                self.embed[name](self.resample(stream.values, stream.mask)).masked_fill(
                    ~there[:, i, None, None], 0
                )
                for i, (name, stream) in enumerate(zip(self.streams, streams, strict=True))
            ],
            dim=2,
        )  # [B, K, streams, size]
        weights = self.weights(self.attention(embedded.flatten(2)))
        weights = weights.masked_fill(~there.unsqueeze(1), 0)
        attended = (weights.unsqueeze(-1) * embedded).sum(2)
        steps = attended.transpose(1, 2)
        for block in self.blocks:
            steps = steps + silu(block(steps))
        return torch.cat([attended, steps.transpose(1, 2)], -1)
