"""Gates of the hybrid compressor: who weights the experts, by what, and how sharply."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import nn
from torch.nn.functional import gelu

from affect_mllm.models.compressor.poolers import AttentionPooler
from affect_mllm.models.indices import on_device
from affect_mllm.types import ConfigError

By = Literal["sample", "token", "text"]


class BaseGate(nn.Module):
    """What weights the experts of a hybrid compressor, `by` an item's states, its tokens' or text.

    With a `pool` it is given all states of an item, without one what stands for each token.
    """

    by: By = "sample"
    pool: nn.Module | None  # every gate sets it: a value here would hide the module

    def forward(
        self, features: torch.Tensor, mask: torch.Tensor, allowed: Sequence[bool]
    ) -> torch.Tensor:
        """`[N, 1 or K, E]` of features `[N, K, D]`; exactly 0 for what is not allowed, and exactly
        1 for an expert that alone is.
        """
        weights = self.weigh(features, mask, allowed)
        chosen = on_device(list(allowed), weights.device)
        if sum(allowed) == 1:
            weights = weights.masked_fill(chosen, 1)
        return weights.masked_fill(~chosen, 0)

    @abstractmethod
    def weigh(
        self, features: torch.Tensor, mask: torch.Tensor, allowed: Sequence[bool]
    ) -> torch.Tensor:
        """`[N, 1 or K, E]`, as `forward`; what is not allowed may have any weight."""


class Gate(BaseGate):
    """Features → two-layer map → weights over the allowed experts.

    `by` says what is looked at: `sample` attention-pools an item's states to one set of weights
    `[N, 1, E]`; `token` has one for each token, `[N, K, E]`, by attention pooling for `num_tokens`
    of them, or of the states of each token (`num_tokens=0`); `text` looks at the mean embedding of
    the instruction alone, `[N, 1, E]`, after HumanOmni (arXiv 2501.15111;
    HumanMLLM/HumanOmni@26fa491 weights its branches by BERT's reading of the instruction; here the
    LLM's own embeddings do without a second text encoder). `top_k` keeps the largest weights of
    each row, which then add up to 1. `normalize="none"` leaves out the softmax, as Emotion-Qwen's
    figure draws it. The last layer starts at zero: equal weights, and a gradient that is not.
    `hidden_size` is the width of its two-layer map.
    """

    def __init__(
        self,
        input_size: int,
        experts: int,
        *,
        by: By = "sample",
        num_tokens: int = 0,
        top_k: PositiveInt | None = None,
        normalize: Literal["softmax", "none"] = "softmax",
        hidden_size: PositiveInt = 128,
    ) -> None:
        super().__init__()
        if top_k is not None and (top_k > experts or normalize == "none"):
            raise ConfigError(
                "compressor.gate.top_k",
                f"{top_k} of {experts} experts, normalize: {normalize}",
                expected="at most the number of experts, and normalize: softmax",
            )
        self.by, self.top_k, self.normalize = by, top_k, normalize
        self.norm = nn.LayerNorm(input_size)
        pooled = {"sample": 1, "token": num_tokens, "text": 0}[by]
        self.pool = AttentionPooler(input_size, num_tokens=pooled) if pooled else None
        self.hidden = nn.Linear(input_size, hidden_size)
        self.output = nn.Linear(hidden_size, experts)
        nn.init.zeros_(self.output.weight)
        nn.init.constant_(self.output.bias, 1 / experts if normalize == "none" else 0)

    def weigh(
        self, features: torch.Tensor, mask: torch.Tensor, allowed: Sequence[bool]
    ) -> torch.Tensor:
        """`[N, 1 or K, E]` of features `[N, K, D]`."""
        features = self.norm(features.float())
        if self.pool is not None:
            features = self.pool(features, mask)
        logits = self.output(gelu(self.hidden(features))).float()
        if self.normalize == "none":
            return logits
        lowest = torch.finfo(logits.dtype).min
        logits = logits.masked_fill(~on_device(list(allowed), logits.device), lowest)
        count = min(self.top_k or sum(allowed), sum(allowed))
        # By rank, not by value: equal weights (as at the start) still keep `top_k` of them.
        kept = torch.zeros_like(logits, dtype=torch.bool)
        kept.scatter_(-1, logits.topk(count, dim=-1).indices, True)
        return logits.masked_fill(~kept, lowest).softmax(-1).masked_fill(~kept, 0)
