"""A linear head on media tokens: what a clip's labels are, told before any LLM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from affect_mllm.models.hidden import Tokens


class LabelHead(nn.Module):
    """The mean of an example's media tokens, normalised, to `sizes[label]` outputs of each label.

    In float32, whatever the rest computes in. `dropout` is of the mean while training.
    """

    def __init__(self, width: int, sizes: Mapping[str, int], *, dropout: float = 0.0) -> None:
        super().__init__()
        self.sizes = dict(sizes)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, max(1, sum(self.sizes.values())))

    def forward(self, tokens: Tokens, examples: Sequence[int]) -> dict[str, torch.Tensor]:
        """Outputs `[N, size]` by label, of these examples, which have media tokens; N may be 0."""
        parts = [[t[i] for t in tokens.values() if i in t] for i in examples]
        none = torch.empty(0, *self.norm.normalized_shape, device=self.linear.weight.device)
        means = torch.cat([none, *(torch.cat(p).float().mean(0, keepdim=True) for p in parts)])
        with torch.autocast(means.device.type, enabled=False):
            outputs = self.linear(self.dropout(self.norm(means)))
        return dict(zip(self.sizes, outputs.split([*self.sizes.values()], dim=-1), strict=True))


def seen(tokens: Tokens) -> list[int]:
    """The examples that have media tokens."""
    return sorted({example for owned in tokens.values() for example in owned})
