"""NEFTune: uniform noise on the embeddings of the words while training."""

from __future__ import annotations

import torch


def noisy(embeds: torch.Tensor, segments: torch.Tensor, alpha: float) -> torch.Tensor:
    """`embeds` `[R, L, H]` plus noise within ±alpha / √(tokens · H) (arXiv 2310.05914).

    `tokens` are those of the example that a position belongs to, so that packing does not change
    the noise's size. Media tokens, which are put in place afterwards, get none.
    """
    _, where, counts = segments.unique(return_inverse=True, return_counts=True)
    size = alpha / (counts[where] * embeds.shape[-1]).sqrt()
    noise = torch.empty_like(embeds).uniform_(-1, 1)
    return embeds + noise * size.unsqueeze(-1).to(embeds.dtype)
