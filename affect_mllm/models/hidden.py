"""What a forward pass leaves for the losses: hidden states, media tokens and gates."""

from __future__ import annotations

from typing import NamedTuple

import torch

Tokens = dict[str, dict[int, torch.Tensor]]  # modality → example → [K, H]


class Media(NamedTuple):
    """What the connectors made of a batch's media: as in `Hidden`, and `deep[i]`, the tokens that
    the LLM's layer `i` is given besides. `idle` is a zero that depends on what ran for nothing.
    """

    tokens: Tokens
    gates: dict[str, torch.Tensor]
    deep: tuple[Tokens, ...]
    idle: torch.Tensor


class Hidden(NamedTuple):
    """The LLM's last hidden states `[R, L, H]` and what the connectors made.

    `tokens[modality][example]` are the spliced media tokens `[K, H]`, of several items one after
    another, `gates[modality]` the expert
    weights `[N, E]` of a gated compressor, one row for each item of `batch.media[modality]` (of
    every example with any medium for `multi`). All of them can be differentiated.
    """

    states: torch.Tensor
    tokens: Tokens
    gates: dict[str, torch.Tensor]
