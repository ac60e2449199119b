"""Log-probabilities of tokens, which may be differentiated, with a chunk of logits at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import linear, log_softmax

from affect_mllm.models.precision import as_factors, own_precision


def token_logps(
    states: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    *,
    chunk: int,
    temperature: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """log p of `targets` `[M]` from `states` `[M, H]` through a linear head `[V, H]`, in float32.

    Also the entropies `[M]` of those distributions, which have no gradient. At most `chunk × V`
    logits exist at a time. For a frozen head the gradients of the states are made in the forward
    pass (`[M, H]` numbers are kept); for one that trains, logits are computed again backwards.
    """
    states, weight, bias = as_factors(states, weight, bias)
    found: Any = _Logps.apply(states, weight, bias, targets, chunk, temperature)
    return found


class _Logps(torch.autograd.Function):
    """A token's log p depends on its own state alone, so its gradient is a row to be scaled."""

    @staticmethod
    def forward(
        ctx: Any,
        states: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        chunk: int,
        temperature: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        of_states, *of_head = ctx.needs_input_grad[:3]
        keep = of_states and not any(of_head)
        logps, entropies, rows = [], [], []
        with own_precision(states.device):
            for part in _parts(len(targets), chunk):
                logs = _logs(states[part], weight, bias, temperature)
                logps.append(logs.gather(1, targets[part].unsqueeze(1)).squeeze(1))
                shares = logs.exp()
                entropies.append(-(shares * logs.clamp_min(-1e4)).sum(1))
                if keep:
                    own = _of_logits(shares, targets[part], temperature)
                    rows.append(own.to(weight.dtype) @ weight)
        nothing = states.new_zeros(0, dtype=torch.promote_types(weight.dtype, torch.float32))
        found = torch.cat([nothing, *logps]), torch.cat([nothing, *entropies])
        ctx.mark_non_differentiable(found[1])
        ctx.keep, ctx.chunk, ctx.temperature = keep, chunk, temperature
        if keep:
            ctx.save_for_backward(torch.cat([states.new_zeros(0, states.shape[1]), *rows]))
        else:
            head = (weight, targets) if bias is None else (weight, targets, bias)
            ctx.save_for_backward(states, *head)
        return found

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> Any:
        grad = grad_outputs[0].unsqueeze(1)
        if ctx.keep:
            (rows,) = ctx.saved_tensors
            return (rows * grad).to(rows.dtype), None, None, None, None, None
        states, weight, targets, *given = ctx.saved_tensors
        bias = given[0] if given else None
        wanted, wide = ctx.needs_input_grad, torch.promote_types(weight.dtype, torch.float32)
        of_states = torch.zeros_like(states) if wanted[0] else None
        of_weight = torch.zeros_like(weight, dtype=wide) if wanted[1] else None
        of_bias = torch.zeros_like(given[0], dtype=wide) if wanted[2] else None
        with own_precision(states.device):
            for part in _parts(len(targets), ctx.chunk):
                shares = _logs(states[part], weight, bias, ctx.temperature).exp_()
                own = _of_logits(shares, targets[part], ctx.temperature) * grad[part]
                if of_states is not None:
                    of_states[part] = own.to(weight.dtype) @ weight
                if of_weight is not None:
                    of_weight.addmm_(own.t(), states[part].to(wide))
                if of_bias is not None:
                    of_bias.add_(own.sum(0))
        heads = [each if each is None else each.to(weight.dtype) for each in (of_weight, of_bias)]
        return of_states, *heads, None, None, None


def _parts(count: int, chunk: int) -> list[slice]:
    return [slice(start, start + chunk) for start in range(0, count, chunk)]


def _logs(
    states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, temperature: float
) -> torch.Tensor:
    """Log-probabilities `[B, V]` in float32 (float64 where the states are)."""
    logits = linear(states, weight, bias)
    wide = torch.promote_types(logits.dtype, torch.float32)
    return log_softmax(logits.to(wide) / temperature, 1)


def _of_logits(shares: torch.Tensor, targets: torch.Tensor, temperature: float) -> torch.Tensor:
    """Gradients of log p of the targets by the logits; `shares`, probabilities, are overwritten."""
    own = shares.neg_()
    own[torch.arange(len(targets), device=own.device), targets] += 1
    return own.div_(temperature)
