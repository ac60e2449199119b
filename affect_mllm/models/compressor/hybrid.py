"""The MoE hybrid compressor: experts of one shape, mixed by a gate.

After Emotion-Qwen (arXiv 2505.06685, figure; 24DavidHuang/Emotion-Qwen@8c52bf3 names the parts
`generalcompressor`, `emotioncompressor`, `gatenet`), whose model code was never published: the
gate here pools by attention and ends in a softmax, where the figure draws neither. Its own is
`figure_gate`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from affect_mllm.models.compressor.base import Compressed, Compressor, Expert
from affect_mllm.models.compressor.gate import BaseGate, Gate
from affect_mllm.models.spans import TokenCount
from affect_mllm.types import ConfigError


class HybridCompressor(Compressor):
    """`[N, S, D]` → `[N, K, H]`, a mixture of `experts` weighted for each sample or token.

    All experts start from the same weights, so that at the start the mixture equals each of
    them. `use(names)` restricts the gate to some experts: with one, its weight is exactly 1.
    Every expert runs on every item, however the gate decides, so that all ranks do the same.
    `expert` makes one of the experts, `gate` what weights them; `output_rms` is the size of the
    LLM's own embeddings, which a model gives.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        expert: Callable[..., Expert],
        experts: Sequence[str] = ("general", "emotion"),
        gate: Callable[..., BaseGate] = Gate,
        output_rms: float = 1.0,
    ) -> None:
        super().__init__()
        made = {name: expert(input_size, output_size, output_rms=output_rms) for name in experts}
        first = made[experts[0]]
        for module in made.values():
            module.load_state_dict(first.state_dict())
        self.experts = nn.ModuleDict(made)
        self.names = tuple(experts)
        self.num_tokens, self.frame_states = first.num_tokens, first.frame_states
        self.states_per_token, self.most_states = first.states_per_token, first.most_states
        self.gate = gate(input_size, len(experts), num_tokens=self.num_tokens)
        self.reads_text = self.gate.by == "text"
        if self.reads_text:
            self.gate = gate(output_size, len(experts))
        self.active = self.names

    @property
    def first(self) -> Expert:
        """The first expert, whose shape all have."""
        found = self.experts[self.names[0]]
        assert isinstance(found, Expert)
        return found

    def token_count(self) -> TokenCount:
        """As of its experts."""
        return self.first.token_count()

    def token_mask(self, mask: torch.Tensor) -> torch.Tensor | None:
        """As of its experts."""
        return self.first.token_mask(mask)

    def use(self, names: Sequence[str]) -> None:
        """Let the gate choose among `names` only. Raises ConfigError on an unknown name."""
        unknown = set(names) - set(self.names)
        if unknown or not names:
            raise ConfigError("experts", f"{list(names)}", expected=f"some of {list(self.names)}")
        self.active = tuple(name for name in self.names if name in names)

    def forward(
        self, states: torch.Tensor, mask: torch.Tensor, text: torch.Tensor | None = None
    ) -> Compressed:
        """The mixture's tokens and the gate's weights (0 for experts that are not in use).

        Of a gate by token the weights are the mean over an item's real tokens.
        """
        real = self.token_mask(mask)
        weights = self._weights(states, mask, text)
        tokens = sum(
            weights[..., index, None] * self.experts[name](states, mask)
            for index, name in enumerate(self.names)
            if name in self.active
        )
        assert isinstance(tokens, torch.Tensor)
        return Compressed(tokens, _mean(weights, real), real)

    def _weights(
        self, states: torch.Tensor, mask: torch.Tensor, text: torch.Tensor | None
    ) -> torch.Tensor:
        """`[N, 1 or K, E]`."""
        allowed = [name in self.active for name in self.names]
        if self.reads_text:
            if text is None:
                raise ConfigError(
                    "compressor.gate.by", "text, without an instruction", expected="its embedding"
                )
            return self.gate(text.unsqueeze(1), mask, allowed)
        if self.gate.pool is None:
            states = self.first.means(states, mask)
        return self.gate(states, mask, allowed)


def _mean(weights: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    """Gate weights of each item `[N, E]`: the mean over its real tokens."""
    if real is None or weights.shape[1] == 1:
        return weights.mean(1)
    share = real.unsqueeze(-1).to(weights.dtype)
    return (weights * share).sum(1) / share.sum(1).clamp_min(1)
