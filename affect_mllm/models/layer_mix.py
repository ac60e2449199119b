"""A learned mix of an encoder's layers: one weight a layer, the same for every state."""

from __future__ import annotations

import torch
from torch import nn


class LayerMix(nn.Module):
    """States of several layers side by side `[N, S, L·D]` → their weighted sum `[N, S, D]`.

    The weights are a softmax of one number a layer and begin equal, so that at step 0 the mix is
    the mean of the layers (the featurizer of SUPERB, Yang et al. 2021, arXiv 2105.01051).
    """

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(layers))
        self.width = width

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """`[N, S, D]`, in the type of the states."""
        weights = self.logits.float().softmax(0).to(states.dtype)
        return (states.unflatten(-1, (-1, self.width)) * weights.unsqueeze(-1)).sum(-2)
