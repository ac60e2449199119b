"""What every compressor offers: LLM tokens of encoder states, how many, and what decided them."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import nn


class Compressed(NamedTuple):
    """LLM tokens `[N, K, H]` and, from a gated compressor, the expert weights `[N, E]`.

    `mask` `[N, K]` is true where a token is real; None: all are.
    """

    tokens: torch.Tensor
    gate: torch.Tensor | None = None
    mask: torch.Tensor | None = None


class Compressor(nn.Module):
    """Encoder states `[N, S, D]` with mask `[N, S]` → LLM tokens.

    `num_tokens` is how many of an item; 0: one for `states_per_token` states, so that nothing is
    pooled away. States come in multiples of `frame_states`. With `reads_text` it also wants the
    mean embedding of each item's instruction.
    """

    num_tokens = 0
    states_per_token = 1
    frame_states = 1
    reads_text = False

    @abstractmethod
    def forward(
        self, states: torch.Tensor, mask: torch.Tensor, text: torch.Tensor | None = None
    ) -> Compressed:
        """The tokens of each item on its own; `text` is `[N, H]` where `reads_text`."""


class Expert(nn.Module):
    """One of several equal modules of a gated compressor: states → tokens `[N, K, H]`.

    `num_tokens`, `states_per_token` and `frame_states` as of a compressor.
    """

    num_tokens = 0
    states_per_token = 1
    frame_states = 1

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


def token_mask(part: Compressor | Expert, mask: torch.Tensor) -> torch.Tensor | None:
    """Which tokens are real that `part` makes of states with `mask` `[N, S]`; None: all.

    A token is real if the first of its states is; a fixed number of tokens is always real.
    """
    return None if part.num_tokens else mask[:, :: part.states_per_token]
