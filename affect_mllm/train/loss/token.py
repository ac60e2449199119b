"""The language-model loss: the one shift of labels, and cross-entropy in chunks.

Logits are made only where a label is, a chunk of positions at a time, and gradients of the hidden
states in the same pass, so that no more than one chunk of logits ever exists (the idea of
Liger-Kernel's fused linear cross-entropy, arXiv 2410.10989 §3.2, in plain torch).
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import PositiveInt
from torch import nn
from torch.nn.functional import log_softmax, nll_loss

from affect_mllm.models.hidden import Hidden
from affect_mllm.models.indices import on_device
from affect_mllm.models.precision import as_factors, own_precision
from affect_mllm.train.loss.objective import Loss
from affect_mllm.types import Batch, ConfigError

LOGIT_OPTIONS = ("final_logit_softcapping", "logit_scale", "logits_scaling")


class TokenLoss(Loss):
    """Cross-entropy of the supervised tokens, `chunk` positions at a time.

    Of examples with one answer: several to one prompt are there to be compared, by other losses.
    """

    def __init__(self, *, weight: float = 1.0, chunk: PositiveInt = 256) -> None:
        super().__init__(weight=weight)
        self.chunk = chunk

    def count(self, batch: Batch) -> int:
        """Supervised tokens."""
        return int((_learnt(batch)[:, 1:] != -100).sum())

    def __call__(
        self, model: Any, batch: Batch, hidden: Hidden, head: nn.Module | None
    ) -> torch.Tensor:
        """The sum over supervised tokens. The LLM's head is used once, whatever their number.

        Under ZeRO-3 reading its weight gathers it until the forward pass is over; under FSDP it
        belongs to the root, which stays gathered.
        """
        positions, targets = supervised(_learnt(batch))
        output, device = plain_head(model.llm.net), hidden.states.device
        places = on_device(positions.flatten().nonzero().squeeze(1), device)
        states, targets = hidden.states.flatten(0, 1)[places], on_device(targets, device)
        return chunked_loss_sum(states, output.weight, output.bias, targets, chunk=self.chunk)


def _learnt(batch: Batch) -> torch.Tensor:
    """The labels `[R, L]` on the host, without those of several answers to one prompt."""
    host = batch.on_host
    return (
        host.labels if host.branches is None else host.labels.masked_fill(host.branches >= 0, -100)
    )


def plain_head(net: Any) -> nn.Linear:
    """The LLM's head. ConfigError if its logits are more than a linear map, as in Gemma 2."""
    head, config = net.get_output_embeddings(), net.config.get_text_config()
    scaled = {name: getattr(config, name, None) for name in LOGIT_OPTIONS}
    scaled = {name: value for name, value in scaled.items() if value not in (None, 1.0)}
    if scaled or not isinstance(head, nn.Linear):
        raise ConfigError(
            "llm",
            f"the head of {type(net).__name__}: {type(head).__name__}, {scaled or 'no options'}",
            expected="a linear head whose logits are used as they are",
            fix="take another LLM: this loss would not be the one it was trained with",
        )
    return head


def supervised(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """From labels `[R, L]` aligned with the ids: positions that predict, and their targets `[M]`.

    Position t predicts label t + 1. A packed example's first token is never a target (prompts
    are −100), so the shift does not cross examples. Of several answers to one prompt only the
    first one's first token is predicted where this says (`loss.answers`).
    """
    targets = torch.full_like(labels, -100)
    targets[:, :-1] = labels[:, 1:]
    positions = targets != -100
    return positions, targets[positions]


def chunked_loss_sum(
    states: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    *,
    chunk: int,
) -> torch.Tensor:
    """Cross-entropy of `states` `[M, H]` through a linear head `[V, H]`, summed in float32.

    Summed so that the same global batch gives the same gradient however it is split over ranks,
    micro-batches and packing. At most `chunk × V` logits exist at a time.
    """
    states, weight, bias = as_factors(states, weight, bias)
    loss: Any = _ChunkedLoss.apply(states, weight, bias, targets, chunk)
    return loss


class _ChunkedLoss(torch.autograd.Function):
    """Loss and gradients chunk by chunk in the forward pass; backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any,
        states: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        chunk: int,
    ) -> torch.Tensor:
        wanted = ctx.needs_input_grad
        total = torch.zeros((), device=states.device)
        grads = [
            torch.zeros_like(tensor, dtype=kind) if want and tensor is not None else None
            for want, tensor, kind in zip(
                wanted,
                (states, weight, bias),
                (states.dtype, torch.float32, torch.float32),
                strict=False,
            )
        ]
        with own_precision(states.device):
            for start in range(0, len(targets), chunk):
                part = slice(start, start + chunk)
                logits = nn.functional.linear(states[part], weight, bias)
                logs = log_softmax(logits, 1, dtype=torch.float32)
                total += nll_loss(logs, targets[part], reduction="sum")
                if any(wanted):
                    _add_gradients(grads, logs, states, weight, targets[part], part)
        kinds = (states.dtype, weight.dtype, None if bias is None else bias.dtype)
        ctx.save_for_backward(
            *(g if g is None else g.to(kind) for g, kind in zip(grads, kinds, strict=True))
        )
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> Any:
        grads = (None if g is None else g * grad_outputs[0].to(g.dtype) for g in ctx.saved_tensors)
        return (*grads, None, None)


def _add_gradients(
    grads: list[torch.Tensor | None],
    logs: torch.Tensor,
    states: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    part: slice,
) -> None:
    """Add the chunk's gradients; `logs`, log probabilities, is overwritten with its own."""
    own = logs.exp_()
    own[torch.arange(len(targets), device=own.device), targets] -= 1
    of_states, of_weight, of_bias = grads
    if of_states is not None:
        of_states[part] = own.to(weight.dtype) @ weight
    if of_weight is not None:
        of_weight.addmm_(own.t(), states[part].float())
    if of_bias is not None:
        of_bias.add_(own.sum(0))
