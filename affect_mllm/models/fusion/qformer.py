"""AffectGPT's Q-Former pre-fusion: queries read the states of all streams, one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from pydantic import PositiveInt
from torch import nn

from affect_mllm.models.encoders.base import States
from affect_mllm.models.fusion.base import Fusion
from affect_mllm.models.qformer import QFormer, QFormerShape


class QFormerFusion(Fusion):
    """Encoder states of several streams → `[B, num_states, hidden size of the Q-Former]`.

    Each stream is mapped to `common_size`; the streams stand one after another in time, get
    learned positions, and `num_states` queries read them (Lian et al. 2025, AffectGPT, pre-fusion;
    zeroQiaoba/AffectGPT@fffca79: common width 1024, 264 positions, two layers). An absent stream
    is not there to be read.
    `positions` is the most states that all streams may have together, `shape` has the sizes of the
    Q-Former (null: its defaults).
    """

    def __init__(
        self,
        input_sizes: Mapping[str, int],
        *,
        num_states: PositiveInt = 16,
        common_size: PositiveInt = 1024,
        positions: PositiveInt = 264,
        shape: QFormerShape | None = None,
    ) -> None:
        shape = shape or QFormerShape()
        super().__init__(input_sizes, hidden_size=shape.hidden_size)
        self.num_states, self.most_states = num_states, positions
        self.embed = nn.ModuleDict(
            {name: nn.Linear(size, common_size) for name, size in input_sizes.items()}
        )
        self.qformer = QFormer(common_size, queries=num_states, positions=positions, shape=shape)

    def forward(self, streams: Sequence[States]) -> torch.Tensor:
        """`[B, num_states, hidden_size]`. Raises DataError for more states than positions."""
        embedded = [
            self.embed[name](stream.values)
            for name, stream in zip(self.streams, streams, strict=True)
        ]
        mask = torch.cat([stream.mask for stream in streams], 1)
        return self.qformer(torch.cat(embedded, 1), mask)
