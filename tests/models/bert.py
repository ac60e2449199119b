"""A Q-Former written out from its formula, to compare with."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import gelu, layer_norm

from affect_mllm.models.qformer import QFormer


def qformer(module: QFormer, states: torch.Tensor, *, heads: int) -> torch.Tensor:
    """What `module` must make of `states` (positions added already) when none is masked."""
    weights = dict(module.net.named_parameters())

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return layer_norm(x, x.shape[-1:], scale, shift, 1e-12)

    def attention(name: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            linear(f"{name}.attention.{part}", source).unflatten(-1, (heads, -1))
            for part, source in (("query", x), ("key", y), ("value", y))
        )
        scores = torch.einsum("nqhd,nkhd->nhqk", q, k) / math.sqrt(q.shape[-1])
        mixed = torch.einsum("nhqk,nkhd->nqhd", scores.softmax(-1), v).flatten(2)
        return norm(f"{name}.output.LayerNorm", linear(f"{name}.output.dense", mixed) + x)

    x = norm("layernorm", module.queries.expand(len(states), -1, -1))
    for i in range(len(module.net.encoder.layer)):
        layer = f"encoder.layer.{i}"
        x = attention(f"{layer}.attention", x, x)
        x = attention(f"{layer}.crossattention", x, states)
        inner = gelu(linear(f"{layer}.intermediate_query.dense", x))
        x = norm(
            f"{layer}.output_query.LayerNorm", linear(f"{layer}.output_query.dense", inner) + x
        )
    return x
