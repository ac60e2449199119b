"""Exact attention in plain torch: example by example, a block of queries at a time.

For CPUs and for float32 on CUDA, where no fused kernel of packed rows runs. Neither padding nor
another example costs anything, and no tensor is as large as a sequence squared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


Forks = Sequence[tuple[int, ...]]


class Blocked(torch.autograd.Function):
    """Attention between `cuts`: queries `[H, T, D]`, keys and values `[K, T, D]`.

    `forks` are `Borders.forks`: of several answers to one prompt, each sees that and itself.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        cuts: list[int],
        rule: Rule,
        forks: Forks = (),
    ) -> torch.Tensor:
        """Mixed values `[H, T, D]`."""
        grouped = _grouped(query, key)
        output = torch.empty_like(grouped)
        kept = []
        for part in _blocks(cuts, rule, forks):
            weights = part.weights(grouped, key, rule)
            mixed = weights @ part.seen(value)
            output[:, :, part.start : part.end] = mixed.view(part.of(output).shape)
            if part.keep and any(ctx.needs_input_grad):
                kept.append(weights)
        ctx.save_for_backward(grouped, key, value, *kept)
        ctx.cuts, ctx.rule, ctx.forks = cuts, rule, forks
        return output.view(query.shape)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        """Gradients of queries, keys and values."""
        query, key, value, *kept = ctx.saved_tensors
        grad = grad.reshape(query.shape)
        grads = [torch.zeros_like(each) for each in (query, key, value)]
        left = iter(kept)
        for part in _blocks(ctx.cuts, ctx.rule, ctx.forks):
            weights = next(left) if part.keep and kept else part.weights(query, key, ctx.rule)
            part.backward((query, key, value), grad, weights, grads, ctx.rule.scale)
        dq, dk, dv = grads
        return dq.flatten(0, 1), dk, dv, None, None, None


class _Block(NamedTuple):
    """Queries `start … end`, which see some of the keys `low … high`.

    Those of an answer among several see the keys `prompt` besides, which count as if they stood
    right before the answer: `shift` places further on.
    """

    low: int
    high: int
    start: int
    end: int
    keep: bool
    prompt: slice = slice(0)
    shift: int = 0

    def seen(self, tensor: torch.Tensor) -> torch.Tensor:
        """The block's keys of `[K, T, D]`."""
        own = tensor[:, self.low : self.high]
        return own if self.prompt == slice(0) else torch.cat([tensor[:, self.prompt], own], 1)

    def add(self, grad: torch.Tensor, part: torch.Tensor) -> None:
        """Add what belongs to the block's keys to a gradient `[K, T, D]`."""
        own = self.high - self.low
        grad[:, self.low : self.high] += part[:, -own:]
        if self.prompt != slice(0):
            grad[:, self.prompt] += part[:, :-own]

    def of(self, grouped: torch.Tensor) -> torch.Tensor:
        """This block's part of `[K, G, T, D]`."""
        return grouped[:, :, self.start : self.end]

    def weights(self, query: torch.Tensor, key: torch.Tensor, rule: Rule) -> torch.Tensor:
        """Attention weights `[K, G·B, N]` over the keys of the block."""
        scores = self.of(query).flatten(1, 2) @ self.seen(key).transpose(1, 2)
        scores = scores.mul_(rule.scale).unflatten(1, (-1, self.end - self.start))
        if rule.causal:
            scores.masked_fill_(self._hidden(rule.window, scores.device), float("-inf"))
        return scores.softmax(-1).flatten(1, 2)

    def _hidden(self, window: int | None, device: torch.device) -> torch.Tensor:
        """`[B, N]`, true where a query does not look."""
        places = torch.arange(self.start, self.end, device=device).unsqueeze(1)
        keys = torch.arange(self.low, self.high, device=device)
        if self.prompt != slice(0):
            before = torch.arange(self.prompt.start, self.prompt.stop, device=device)
            keys = torch.cat([before + self.shift, keys])
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
        by_weight = here @ self.seen(value).transpose(1, 2)
        by_score = torch._softmax_backward_data(by_weight, weights, -1, weights.dtype).mul_(scale)
        mine = self.of(query)
        self.of(grads[0]).copy_((by_score @ self.seen(key)).view(mine.shape))
        self.add(grads[1], by_score.transpose(1, 2) @ mine.flatten(1, 2))
        self.add(grads[2], weights.transpose(1, 2) @ here)


def _blocks(cuts: list[int], rule: Rule, forks: Forks = ()) -> list[_Block]:
    found = []
    for number, (first, last) in enumerate(pairwise(cuts)):
        length, *answers = forks[number] if forks else (last - first,)
        found += _plain(first, first + length, rule)
        start = first + length
        for count in answers:
            found += _answer(slice(first, first + length), start, start + count, rule)
            start += count
    return found


def _plain(first: int, last: int, rule: Rule) -> Iterator[_Block]:
    """The blocks of an example, or of what several answers have before them."""
    for start in range(first, last, BLOCK):
        end = min(start + BLOCK, last)
        behind = first if rule.window is None else max(first, start - rule.window + 1)
        low, high = (behind, end) if rule.causal else (first, last)
        yield _Block(low, high, start, end, last - first <= KEEP_UP_TO)


def _answer(prompt: slice, first: int, last: int, rule: Rule) -> Iterator[_Block]:
    """The blocks of one answer, which come after a prompt that stands elsewhere."""
    shift = first - prompt.stop
    keep = prompt.stop - prompt.start + last - first <= KEEP_UP_TO
    for block in _plain(first, last, rule):
        low = prompt.start
        if rule.window is not None:
            low = max(low, block.start - rule.window + 1 - shift)
        before = slice(low, prompt.stop) if low < prompt.stop else slice(0)
        yield block._replace(keep=keep, prompt=before, shift=shift)


def _grouped(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Queries `[H, T, D]` → `[K, G, T, D]`: the G heads that share a key head stand together."""
    return query.unflatten(0, (key.shape[0], -1))
