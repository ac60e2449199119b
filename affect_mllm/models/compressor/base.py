"""What compressors and their parts offer: tokens of encoder states, how many, which are real."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import nn

from affect_mllm.models.indices import on_device
from affect_mllm.models.spans import OneFor, TokenCount
from affect_mllm.types import DataError


class Compressed(NamedTuple):
    """LLM tokens `[N, K, H]` and, from a gated compressor, the expert weights `[N, E]`.

    `mask` `[N, K]` is true where a token is real; None: all are.
    """

    tokens: torch.Tensor
    gate: torch.Tensor | None = None
    mask: torch.Tensor | None = None

    def items(self, known: torch.Tensor | None) -> list[torch.Tensor]:
        """Each item's real tokens `[K, H]`; `known`: the mask on the CPU, if it is known there."""
        if self.mask is None:
            return list(self.tokens)
        if known is None:
            return [item[mask] for item, mask in zip(self.tokens, self.mask, strict=True)]
        places = [on_device(mask.nonzero().squeeze(1), self.tokens.device) for mask in known]
        return [item[place] for item, place in zip(self.tokens, places, strict=True)]


class TokenMaker(nn.Module):
    """Whatever makes tokens of encoder states with a mask `[N, S]`.

    `num_tokens` is how many of an item; 0: as many as `token_count()` says of its states, by
    default one for `states_per_token`, so that nothing is pooled away. States come in multiples of
    `frame_states`, and at most `most_states` of an item (0: any number).
    """

    num_tokens = 0
    states_per_token = 1
    frame_states = 1
    most_states = 0

    def token_count(self) -> TokenCount:
        """The tokens of so many states, where their number is not fixed."""
        return OneFor(self.states_per_token)

    def token_mask(self, mask: torch.Tensor) -> torch.Tensor | None:
        """Which tokens are real of states with `mask` `[N, S]`; None: all.

        A token is real if the first of its states is; a fixed number of tokens is always real.
        """
        return None if self.num_tokens else mask[:, :: self.states_per_token]

    def frames(self, values: torch.Tensor) -> torch.Tensor:
        """`[N, T·frame_states, …]` → `[N, T, frame_states, …]`. DataError for a part of a frame."""
        if values.shape[1] % self.frame_states:
            raise DataError(
                f"compressor {type(self).__name__}",
                f"{values.shape[1]} states",
                expected=f"frames of {self.frame_states} states",
                fix="give the encoder's output the same grid as the compressor",
            )
        return values.unflatten(1, (-1, self.frame_states))


class Compressor(TokenMaker):
    """Encoder states `[N, S, D]` with mask `[N, S]` → LLM tokens.

    With `reads_text` it also wants the mean embedding of each item's instruction.
    """

    reads_text = False

    @abstractmethod
    def forward(
        self, states: torch.Tensor, mask: torch.Tensor, text: torch.Tensor | None = None
    ) -> Compressed:
        """The tokens of each item on its own; `text` is `[N, H]` where `reads_text`."""


class Pooler(TokenMaker):
    """States `[N, S, D]` → tokens `[N, K, output_size]`, a part of a compressor.

    One without a fixed number of tokens has no weights: it serves states of any width.
    """

    output_size: int

    @abstractmethod
    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The tokens of each item on its own; zeros of an item without any real state."""


class Expert(TokenMaker):
    """One of several equal modules of a gated compressor: states → tokens `[N, K, H]`."""

    @abstractmethod
    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The tokens of each item on its own."""

    def groups(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The states of each token side by side: `[N, S, D]` → `[N, ceil(S / G), G, D]`.

        Masked states, and what fills up the last group, are zeros.
        """
        states = states.masked_fill(~mask.unsqueeze(-1), 0)
        short = -states.shape[1] % self.states_per_token
        states = nn.functional.pad(states, (0, 0, 0, short)) if short else states
        return states.unflatten(1, (-1, self.states_per_token))

    def means(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The mean state of each token `[N, K, D]`, where their number is not fixed."""
        return self.groups(states, mask).mean(2)
