"""The language-model loss: the one shift of labels, and a sum to be divided by the whole step."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy


def supervised(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """From labels `[R, L]` aligned with the ids: positions that predict, and their targets `[M]`.

    Position t predicts label t + 1. A packed example's first token is never a target (prompts
    are −100), so the shift does not cross examples.
    """
    targets = torch.full_like(labels, -100)
    targets[:, :-1] = labels[:, 1:]
    positions = targets != -100
    return positions, targets[positions]


def token_loss_sum(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of logits `[M, V]`, summed: the caller divides by the step's tokens.

    Summed so that the same global batch gives the same gradient however it is split over ranks,
    micro-batches and packing.
    """
    return cross_entropy(logits.float(), targets, reduction="sum")
