"""Attention without padding and without masks: each example of a flat row attends to itself.

transformers hands flash-attn the borders of packed sequences (`cu_seq_lens_q`). Where flash-attn
cannot run, `blocked` reads the same borders: exact causal attention, example by example and a
block of queries at a time, so that neither padding nor another example costs anything. SDPA with
a mask of blocks also computes what the mask then hides.
"""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from affect_mllm.types import ConfigError

Attention = Literal["auto", "sdpa", "eager", "blocked", "flash_attention_2"]
BLOCK = 128  # queries at a time: the scores of a block stay in the cache
KEEP_UP_TO = 1024  # tokens of an example whose weights are kept for backward, not computed again


class Borders(NamedTuple):
    """Where the examples of a flat row begin, `starts` `[S + 1]` int32, and how long they are."""

    starts: torch.Tensor
    longest: int
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, segments: torch.Tensor) -> Borders:
        """From the numbers `[T]` of a row's examples, which stand one after another."""
        change = torch.ones_like(segments, dtype=torch.bool)
        change[1:] = segments[1:] != segments[:-1]
        places = [*change.nonzero().squeeze(1).tolist(), len(segments)]
        lengths = tuple(end - start for start, end in pairwise(places))
        starts = torch.tensor(places, dtype=torch.int32, device=segments.device)
        return cls(starts, max(lengths), lengths)

    def arguments(self) -> dict[str, Any]:
        """The keywords under which transformers passes the borders to an attention function."""
        return {
            "cu_seq_lens_q": self.starts,
            "cu_seq_lens_k": self.starts,
            "max_length_q": self.longest,
            "max_length_k": self.longest,
        }


def choose(asked: Attention) -> str:
    """transformers' name of the attention to use; `auto` takes the best that can run here.

    Raises ConfigError when flash-attn is asked for and cannot run: nothing is substituted.
    """
    lacking = flash_lacks()
    if asked == "auto":
        if torch.cuda.is_available():
            return "sdpa" if lacking else "flash_attention_2"
        return register()
    if asked == "flash_attention_2" and lacking:
        raise ConfigError(
            "model.llm.attention",
            f"flash_attention_2, but {lacking}",
            expected="sdpa, blocked, eager, or auto for the best that runs here",
            fix="pip install 'affect-mllm[flash]' on a machine with CUDA, or choose another",
        )
    return register() if asked == "blocked" else asked


def flash_lacks() -> str | None:
    """What keeps flash-attn from running here, or None."""
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    if importlib.util.find_spec("flash_attn") is None:
        return "the package flash-attn is not installed"
    return None


def register() -> str:
    """Make `blocked` known to transformers; returns its name there."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register("blocked", blocked_attention)
    AttentionMaskInterface.register("blocked", _mask)
    return "blocked"


def _mask(*, attention_mask: torch.Tensor | None = None, **shape: Any) -> torch.Tensor | None:
    """SDPA's mask for generation; none for a flat row, which comes with borders instead."""
    from transformers.masking_utils import sdpa_mask

    if attention_mask is None:
        return None
    return sdpa_mask(attention_mask=attention_mask, **shape)


@torch.compiler.disable  # its loop over borders would be compiled anew for every batch
def blocked_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface: `[1, H, T, D]` queries, `[1, K, T, D]` keys and values.

    Returns `[1, T, H, D]`. Without borders (generation, with its cache) it is SDPA.
    """
    starts = options.get("cu_seq_lens_q")
    if starts is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    window = options.get("sliding_window")
    bounds = starts.tolist()
    longest = int(options["max_length_q"])
    if options.get("dropout") or (window is not None and longest > window):
        raise ConfigError(
            "model.llm.attention",
            f"blocked, but the model has attention dropout or a window of {window} tokens",
            expected=f"neither, or examples (here {longest} tokens) within the window",
            fix="choose sdpa or eager",
        )
    scale = options.get("scaling") or query.shape[-1] ** -0.5
    # Autocast leaves rotated queries and keys in float32 beside values in half precision.
    query, key = query.to(value.dtype), key.to(value.dtype)
    mixed = Blocked.apply(query[0], key[0], value[0], bounds, float(scale))
    return mixed.transpose(0, 1).unsqueeze(0), None


class Blocked(torch.autograd.Function):
    """Causal attention inside `bounds`: queries `[H, T, D]`, keys and values `[K, T, D]`."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        bounds: list[int],
        scale: float,
    ) -> torch.Tensor:
        """Mixed values `[H, T, D]`."""
        grouped = _grouped(query, key)
        output = torch.empty_like(grouped)
        kept = []
        for part in _blocks(bounds):
            weights = part.weights(grouped, key, scale)
            mixed = weights @ value[:, part.first : part.end]
            output[:, :, part.start : part.end] = mixed.view(part.of(output).shape)
            if part.keep and any(ctx.needs_input_grad):
                kept.append(weights)
        ctx.save_for_backward(grouped, key, value, *kept)
        ctx.bounds, ctx.scale = bounds, scale
        return output.view(query.shape)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        """Gradients of queries, keys and values."""
        query, key, value, *kept = ctx.saved_tensors
        grad = grad.reshape(query.shape)
        grads = [torch.zeros_like(each) for each in (query, key, value)]
        left = iter(kept)
        for part in _blocks(ctx.bounds):
            weights = next(left) if part.keep and kept else part.weights(query, key, ctx.scale)
            part.backward((query, key, value), grad, weights, grads, ctx.scale)
        dq, dk, dv = grads
        return dq.flatten(0, 1), dk, dv, None, None


class _Block(NamedTuple):
    """Queries `start … end` of the example that begins at `first`."""

    first: int
    start: int
    end: int
    keep: bool

    def of(self, grouped: torch.Tensor) -> torch.Tensor:
        """This block's part of `[K, G, T, D]`."""
        return grouped[:, :, self.start : self.end]

    def weights(self, query: torch.Tensor, key: torch.Tensor, scale: float) -> torch.Tensor:
        """Attention weights `[K, G·B, N]` over the example's tokens up to the block's end."""
        scores = self.of(query).flatten(1, 2) @ key[:, self.first : self.end].transpose(1, 2)
        rows, columns = self.end - self.start, self.end - self.first
        ahead = torch.ones(rows, columns, dtype=torch.bool).triu(1 + columns - rows)
        scores = scores.mul_(scale).unflatten(1, (-1, rows))
        scores.masked_fill_(ahead.to(scores.device), float("-inf"))
        return scores.softmax(-1).flatten(1, 2)

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
        seen = slice(self.first, self.end)
        here = self.of(grad).flatten(1, 2)
        by_weight = here @ value[:, seen].transpose(1, 2)
        by_score = torch._softmax_backward_data(by_weight, weights, -1, weights.dtype).mul_(scale)
        mine = self.of(query)
        self.of(grads[0]).copy_((by_score @ key[:, seen]).view(mine.shape))
        grads[1][:, seen] += by_score.transpose(1, 2) @ mine.flatten(1, 2)
        grads[2][:, seen] += weights.transpose(1, 2) @ here


def _blocks(bounds: list[int]) -> list[_Block]:
    return [
        _Block(first, start, min(start + BLOCK, end), end - first <= KEEP_UP_TO)
        for first, end in pairwise(bounds)
        for start in range(first, end, BLOCK)
    ]


def _grouped(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Queries `[H, T, D]` → `[K, G, T, D]`: the G heads that share a key head stand together."""
    return query.unflatten(0, (key.shape[0], -1))
