"""The plainest compressor: a pooler and one linear map to the LLM's width. AffectGPT's way."""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import PositiveInt
from torch import nn

from affect_mllm.models.compressor.base import Compressed, Compressor, Pooler
from affect_mllm.models.spans import TokenCount
from affect_mllm.types import ConfigError


class Projector(Compressor):
    """`[N, S, D]` → pooler → `Linear` → `[N, K, H]`; without a pooler a token for every state.

    As in AffectGPT (zeroQiaoba/AffectGPT@fffca79: `affectgpt_proj`, `audio_llama_proj`,
    `multi_llama_proj`), nothing scales the tokens to the size of the LLM's embeddings:
    `output_rms` is not used. Each of a pooler's tokens stands `repeat` times in the prompt, which
    is what its authors do where attention or a mean makes one and several are configured.
    `pooler` makes few tokens of many states.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        pooler: Callable[[int], Pooler] | None = None,
        repeat: PositiveInt = 1,
        output_rms: float = 1.0,
    ) -> None:
        super().__init__()
        del output_rms
        self.pooler = pooler(input_size) if pooler is not None else None
        self.repeat = repeat
        fixed = 0 if self.pooler is None else self.pooler.num_tokens
        if repeat > 1 and not fixed:
            raise ConfigError(
                "compressor.repeat", str(repeat), expected="1 without a fixed number of tokens"
            )
        if self.pooler is not None:
            self.num_tokens = fixed * repeat
            self.frame_states = self.pooler.frame_states
            self.most_states = self.pooler.most_states
            input_size = self.pooler.output_size
        self.project = nn.Linear(input_size, output_size)

    def token_count(self) -> TokenCount:
        """The pooler's."""
        return super().token_count() if self.pooler is None else self.pooler.token_count()

    def token_mask(self, mask: torch.Tensor) -> torch.Tensor | None:
        """The pooler's."""
        return super().token_mask(mask) if self.pooler is None else self.pooler.token_mask(mask)

    def forward(
        self, states: torch.Tensor, mask: torch.Tensor, text: torch.Tensor | None = None
    ) -> Compressed:
        """The tokens; `text` is not looked at."""
        pooled = states if self.pooler is None else self.pooler(states, mask)
        tokens = self.project(pooled)
        if self.repeat > 1:
            tokens = tokens.repeat_interleave(self.repeat, dim=1)
        return Compressed(tokens, mask=self.token_mask(mask))
