"""Exact attention in plain torch: example by example, a block of queries at a time.

For CPUs and for float32 on CUDA, where no fused kernel of packed rows runs. Neither padding nor
another example costs anything, and no tensor is as large as a sequence squared.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import torch

BLOCK = 128  # queries at a time: the scores of a block stay in the cache
KEEP_UP_TO = 1024  # tokens of an example whose weights are kept for backward, not computed again


class Rule(NamedTuple):
    """What a query sees of its example: everything, or what is not ahead of it (`causal`) and
    less than `window` positions behind it; and what scores are multiplied by."""

    scale: float
    causal: bool = True
    window: int | None = None


class Blocked(torch.autograd.Function):
    """Attention between `cuts`: queries `[H, T, D]`, keys and values `[K, T, D]`."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        cuts: list[int],
        rule: Rule,
    ) -> torch.Tensor:
        """Mixed values `[H, T, D]`."""
        grouped = _grouped(query, key)
        output = torch.empty_like(grouped)
        kept = []
        for part in _blocks(cuts, rule):
            weights = part.weights(grouped, key, rule)
            mixed = weights @ value[:, part.seen]
            output[:, :, part.start : part.end] = mixed.view(part.of(output).shape)
            if part.keep and any(ctx.needs_input_grad):
                kept.append(weights)
        ctx.save_for_backward(grouped, key, value, *kept)
        ctx.cuts, ctx.rule = cuts, rule
        return output.view(query.shape)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        """Gradients of queries, keys and values."""
        query, key, value, *kept = ctx.saved_tensors
        grad = grad.reshape(query.shape)
        grads = [torch.zeros_like(each) for each in (query, key, value)]
        left = iter(kept)
        for part in _blocks(ctx.cuts, ctx.rule):
            weights = next(left) if part.keep and kept else part.weights(query, key, ctx.rule)
            part.backward((query, key, value), grad, weights, grads, ctx.rule.scale)
        dq, dk, dv = grads
        return dq.flatten(0, 1), dk, dv, None, None


class _Block(NamedTuple):
    """Queries `start … end`, which see some of the keys `low … high`."""

    low: int
    high: int
    start: int
    end: int
    keep: bool

    @property
    def seen(self) -> slice:
        return slice(self.low, self.high)

    def of(self, grouped: torch.Tensor) -> torch.Tensor:
        """This block's part of `[K, G, T, D]`."""
        return grouped[:, :, self.start : self.end]

    def weights(self, query: torch.Tensor, key: torch.Tensor, rule: Rule) -> torch.Tensor:
        """Attention weights `[K, G·B, N]` over the keys of the block."""
        scores = self.of(query).flatten(1, 2) @ key[:, self.seen].transpose(1, 2)
        scores = scores.mul_(rule.scale).unflatten(1, (-1, self.end - self.start))
        if rule.causal:
            scores.masked_fill_(self._hidden(rule.window, scores.device), float("-inf"))
        return scores.softmax(-1).flatten(1, 2)

    def _hidden(self, window: int | None, device: torch.device) -> torch.Tensor:
        """`[B, N]`, true where a query does not look."""
        places = torch.arange(self.start, self.end, device=device).unsqueeze(1)
        keys = torch.arange(self.low, self.high, device=device)
        ahead = keys > places
        return ahead if window is None else ahead | (keys <= places - window)

    def backward(
        self,
        inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        grad: torch.Tensor,
        weights: torch.Tensor,
        grads: list[torch.Tensor],
        scale: float,
    ) -> None:
        """Add this block's share to the gradients of queries, keys and values."""
        query, key, value = inputs
        here = self.of(grad).flatten(1, 2)
        by_weight = here @ value[:, self.seen].transpose(1, 2)
        by_score = torch._softmax_backward_data(by_weight, weights, -1, weights.dtype).mul_(scale)
        mine = self.of(query)
        self.of(grads[0]).copy_((by_score @ key[:, self.seen]).view(mine.shape))
        grads[1][:, self.seen] += by_score.transpose(1, 2) @ mine.flatten(1, 2)
        grads[2][:, self.seen] += weights.transpose(1, 2) @ here


def _blocks(cuts: list[int], rule: Rule) -> list[_Block]:
    found = []
    for first, last in pairwise(cuts):
        for start in range(first, last, BLOCK):
            end = min(start + BLOCK, last)
            behind = first if rule.window is None else max(first, start - rule.window + 1)
            low, high = (behind, end) if rule.causal else (first, last)
            found.append(_Block(low, high, start, end, last - first <= KEEP_UP_TO))
    return found


def _grouped(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Queries `[H, T, D]` → `[K, G, T, D]`: the G heads that share a key head stand together."""
    return query.unflatten(0, (key.shape[0], -1))
