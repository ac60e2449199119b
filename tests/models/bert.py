"""A Q-Former written out from its formula over BERT's names, to compare with."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch.nn.functional import gelu, layer_norm

from affect_mllm.models.qformer import QFormer


def qformer(module: QFormer, states: torch.Tensor, *, heads: int) -> torch.Tensor:
    """What `module` must make of `states` (positions added already) when none is masked."""
    weights = {_bert_name(name): tensor for name, tensor in module.net.named_parameters()}
    return written_out(weights, module.queries, states, heads=heads)


def written_out(
    weights: Mapping[str, torch.Tensor],
    queries: torch.Tensor,
    states: torch.Tensor,
    *,
    heads: int,
) -> torch.Tensor:
    """`[N, K, hidden]`: layers of self-attention, cross-attention and two linear maps."""

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return layer_norm(x, x.shape[-1:], scale, shift, 1e-12)

    def attention(name: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            linear(f"{name}.self.{part}", source).unflatten(-1, (heads, -1))
            for part, source in (("query", x), ("key", y), ("value", y))
        )
        scores = torch.einsum("nqhd,nkhd->nhqk", q, k) / math.sqrt(q.shape[-1])
        mixed = torch.einsum("nhqk,nkhd->nqhd", scores.softmax(-1), v).flatten(2)
        return norm(f"{name}.output.LayerNorm", linear(f"{name}.output.dense", mixed) + x)

    x = norm("bert.embeddings.LayerNorm", queries.expand(len(states), -1, -1))
    count = len({name.split(".")[3] for name in weights if ".encoder.layer." in name})
    for i in range(count):
        layer = f"bert.encoder.layer.{i}"
        x = attention(f"{layer}.attention", x, x)
        x = attention(f"{layer}.crossattention", x, states)
        inner = gelu(linear(f"{layer}.intermediate_query.dense", x))
        outer = linear(f"{layer}.output_query.dense", inner)
        x = norm(f"{layer}.output_query.LayerNorm", outer + x)
    return x


def _bert_name(name: str) -> str:
    """transformers' name in its Q-Former → BERT's."""
    name = re.sub(r"^layernorm", "embeddings.LayerNorm", name)
    return "bert." + re.sub(r"attention\.attention\.", "attention.self.", name)
