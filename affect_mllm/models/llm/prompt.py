"""A batch of prompts as the LLM continues them: embeddings at the right end of their rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from affect_mllm.models.llm.deepstack import Deep


@dataclass(frozen=True)
class Prompt:
    """Embeddings `[R, L, H]`, positions `[R, L]` or `[3, R, L]`, and where they are `real`.

    `deep` is what the LLM's first layers are given besides.
    """

    embeds: torch.Tensor
    positions: torch.Tensor
    real: torch.Tensor
    deep: Deep | None = None

    def padded_left(self) -> Prompt:
        """Each row's real positions moved to its right end, where generation continues them."""
        length = self.real.shape[1]
        place = torch.arange(length, device=self.real.device)
        shift = length - self.real.sum(1, keepdim=True)
        source = (place - shift) % length
        return Prompt(
            self.embeds.gather(1, source.unsqueeze(-1).expand_as(self.embeds)),
            self.positions.gather(-1, source.expand_as(self.positions)),
            place >= shift,
            None if self.deep is None else self.deep.moved(shift.squeeze(1), length),
        )
