"""The MoE hybrid compressor: experts of one shape, mixed by a gate that looks at the states.

After Emotion-Qwen (arXiv 2505.06685, figure; 24DavidHuang/Emotion-Qwen@8c52bf3 names the parts
`generalcompressor`, `emotioncompressor`, `gatenet`), whose model code was never published: the
gate here pools by attention and ends in a softmax, where the figure draws neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn

from affect_mllm.models.compressor.poolers import AttentionPooler
from affect_mllm.types import ConfigError


class Compressed(NamedTuple):
    """LLM tokens `[N, K, H]` and, from a gated compressor, the expert weights `[N, E]`."""

    tokens: torch.Tensor
    gate: torch.Tensor | None


class HybridCompressor(nn.Module):
    """`[N, S, D]` → `[N, K, H]`, a mixture of `experts` weighted for each sample.

    All experts start from the same weights, so that at the start the mixture equals each of
    them. `use(names)` restricts the gate to some experts: with one, its weight is exactly 1.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        expert: Callable[..., nn.Module],
        experts: Sequence[str] = ("general", "emotion"),
        output_rms: float = 1.0,
    ) -> None:
        super().__init__()
        made = {name: expert(input_size, output_size, output_rms=output_rms) for name in experts}
        first = made[experts[0]]
        for module in made.values():
            module.load_state_dict(first.state_dict())
        self.experts = nn.ModuleDict(made)
        self.names = tuple(experts)
        self.num_tokens = int(first.num_tokens)  # type: ignore[arg-type]
        self.gate = Gate(input_size, len(experts))
        self.active = self.names

    def use(self, names: Sequence[str]) -> None:
        """Let the gate choose among `names` only. Raises ConfigError on an unknown name."""
        unknown = set(names) - set(self.names)
        if unknown or not names:
            raise ConfigError("experts", f"{list(names)}", expected=f"some of {list(self.names)}")
        self.active = tuple(name for name in self.names if name in names)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> Compressed:
        """The mixture's tokens and the gate's weights (0 for experts that are not in use)."""
        gate = self.gate(states, mask, [name in self.active for name in self.names])
        tokens = sum(
            gate[:, index, None, None] * self.experts[name](states, mask)
            for index, name in enumerate(self.names)
            if name in self.active
        )
        assert isinstance(tokens, torch.Tensor)
        return Compressed(tokens, gate)


class Gate(nn.Module):
    """Attention pooling → two-layer map → softmax over the allowed experts: `[N, E]`.

    The last layer starts at zero: equal weights, and a gradient that is not.
    """

    def __init__(self, input_size: int, experts: int, *, hidden_size: int = 128) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(input_size)
        self.pool = AttentionPooler(input_size)
        self.hidden = nn.Linear(input_size, hidden_size)
        self.output = nn.Linear(hidden_size, experts)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(
        self, states: torch.Tensor, mask: torch.Tensor, allowed: Sequence[bool]
    ) -> torch.Tensor:
        """Weights that add up to 1 over the allowed experts."""
        pooled = self.pool(self.norm(states), mask).squeeze(1)
        logits = self.output(torch.nn.functional.gelu(self.hidden(pooled)))
        blocked = ~torch.tensor(allowed, device=logits.device)
        return logits.masked_fill(blocked, torch.finfo(logits.dtype).min).softmax(-1)
