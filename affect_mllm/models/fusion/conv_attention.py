"""Conv-attention pre-fusion of Emotion-LLaMA v2: weighted step by step, and convolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import nn
from torch.nn.functional import silu

from affect_mllm.models.compressor.poolers import SegmentPooler
from affect_mllm.models.encoders.base import States
from affect_mllm.models.fusion.base import Fusion, present
from affect_mllm.types import ConfigError


class ConvAttentionFusion(Fusion):
    """Encoder states of several streams → `[B, num_states, output_size]`.

    Published (arXiv 2601.16449; ooochen-30/Emotion-LLaMA-v2@6d88b83, `convpro_model.py`): streams
    of 64 steps, an MLP 512 → 128 each; a weight for each stream and step, without a softmax, by
    another such MLP and a linear map of the streams side by side; beside the weighted sum, a map
    of the streams side by side to 128 and four residual blocks of a convolution over three steps
    and SiLU; the sum of both is mapped to 256. Of a picture the class token alone is read, at every
    step: `first_only` names the streams whose first state stands for all. Ours: streams of any
    length are averaged to the steps, and an absent stream adds nothing at all (there, its zeros
    still passed the MLP).
    `size` is the width of the streams and `inner_size` that of the MLP before it, `output_size`
    that of what comes out; `blocks` are the residual blocks, `dropout` a probability in training.
    """

    def __init__(
        self,
        input_sizes: Mapping[str, int],
        *,
        num_states: PositiveInt = 64,
        size: PositiveInt = 128,
        inner_size: PositiveInt = 512,
        output_size: PositiveInt = 256,
        blocks: PositiveInt = 4,
        dropout: NonNegativeFloat = 0.1,
        first_only: Sequence[str] = (),
    ) -> None:
        super().__init__(input_sizes, hidden_size=output_size)
        unknown = sorted(set(first_only) - set(input_sizes))
        if unknown:
            raise ConfigError(
                "fusion.first_only", ", ".join(unknown), expected=f"some of {list(input_sizes)}"
            )
        self.num_states, self.first_only = num_states, frozenset(first_only)
        self.resample = SegmentPooler(0, num_tokens=num_states)
        joined = size * len(self.streams)
        self.embed = nn.ModuleDict(
            {name: _mlp(width, inner_size, size, dropout) for name, width in input_sizes.items()}
        )
        self.attention = _mlp(joined, inner_size, size, dropout)
        self.weights = nn.Linear(size, len(self.streams))
        self.entry = nn.Conv1d(joined, size, 1)
        self.blocks = nn.ModuleList(nn.Conv1d(size, size, 3, padding=1) for _ in range(blocks))
        self.output = nn.Linear(size, output_size)

    def forward(self, streams: Sequence[States]) -> torch.Tensor:
        """`[B, num_states, hidden_size]`."""
        there = present(streams)
        embedded = torch.stack(
            [
                self._steps(name, stream).masked_fill(~there[:, i, None, None], 0)
                for i, (name, stream) in enumerate(zip(self.streams, streams, strict=True))
            ],
            dim=2,
        )  # [B, K, streams, size]
        joined = embedded.flatten(2)
        weights = self.weights(self.attention(joined))
        attended = (weights.unsqueeze(-1) * embedded).sum(2)  # an absent stream is zeros
        steps = self.entry(joined.transpose(1, 2))
        for block in self.blocks:
            steps = steps + silu(block(steps))
        return self.output(attended + steps.transpose(1, 2))

    def _steps(self, name: str, stream: States) -> torch.Tensor:
        """`[B, K, size]` of one stream."""
        values, mask = stream.values, stream.mask
        if name in self.first_only:
            values, mask = values[:, :1], mask[:, :1]
        return self.embed[name](self.resample(values, mask))


def _mlp(width: int, inner: int, size: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, inner),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(inner, size),
        nn.ReLU(),
        nn.Dropout(dropout),
    )
