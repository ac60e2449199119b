"""What a forward pass leaves for the losses: hidden states, media tokens and gates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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


class Hidden:
    """The LLM's last hidden states `[R, L, H]` and what the connectors made.

    `tokens[modality][example]` are the spliced media tokens `[K, H]`, of several items one after
    another, `gates[modality]` the expert
    weights `[N, E]` of a gated compressor, one row for each item of `batch.media[modality]` (of
    every example with any medium for `multi`). All of them can be differentiated. `states` are
    computed when a loss first asks for them, so that one of media tokens alone does without the
    LLM; `idle` is a zero that depends on what ran for nothing, and `states` hold it already.
    `router` are, once there are `states`, the logits of the LLM's own experts `[T, E]` by layer, of
    real positions or of all, where a loss `reads_router`. `shared` is what one loss leaves there
    for the others.
    """

    def __init__(
        self,
        states: torch.Tensor | Callable[[], torch.Tensor],
        tokens: Tokens,
        gates: dict[str, torch.Tensor],
        idle: torch.Tensor | None = None,
        router: Sequence[torch.Tensor] | None = None,
    ) -> None:
        self._states, self.tokens, self.gates = states, tokens, gates
        self.idle = torch.zeros(()) if idle is None else idle
        self.router = () if router is None else router
        self.shared: dict[str, Any] = {}

    @property
    def states(self) -> torch.Tensor:
        """The same tensor every time."""
        if not isinstance(self._states, torch.Tensor):
            self._states = self._states()
        return self._states
