"""A loss on the routers of an LLM whose layers are mixtures of experts."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from affect_mllm.models.hidden import Hidden
from affect_mllm.models.indices import on_device
from affect_mllm.models.llm.router import routers
from affect_mllm.train.loss.objective import Loss
from affect_mllm.train.loss.ranks import sum_over_ranks
from affect_mllm.types import Batch, ConfigError


class RouterBalance(Loss):
    """How unevenly an LLM's routers use its experts: `top_k` is even, the number of experts worst.

    E·Σ f·p over experts, f the share of positions that an expert is chosen for, p its mean
    probability, of the real positions of all ranks and layers together: Switch Transformers'
    auxiliary loss (arXiv 2101.03961, equations 4 to 6) as transformers adds it to a mixture's own
    loss, there with the factor `router_aux_loss_coef` (0.001 in Qwen's). It moves what a stage
    trains: with LoRA on attention alone, what routers are told; routers themselves where a group
    of the stage names them (`llm\\..*mlp\\.gate\\..*`).
    """

    coupled = True
    reads_router = True

    def check(self, model: Any) -> None:
        """ConfigError for an LLM without routers."""
        if not routers(model.llm.net.get_decoder()):
            raise ConfigError(
                "stage.losses",
                "RouterBalance, and the LLM has no routers",
                expected="a mixture of experts, such as Qwen3-Omni or Qwen3-VL-MoE",
                fix="leave the loss out",
            )

    def count(self, batch: Batch) -> int:
        """Real positions."""
        return int((batch.on_host.segments >= 0).sum())

    def __call__(
        self, model: Any, batch: Batch, hidden: Hidden, head: nn.Module | None
    ) -> torch.Tensor:
        """The unevenness times the real positions of all ranks."""
        self.check(model)
        real = (batch.on_host.segments >= 0).flatten()
        top_k, device = int(model.llm.config.num_experts_per_tok), hidden.states.device
        chosen: Any = 0
        likely: Any = 0
        for logits in hidden.router:
            if len(logits) != int(real.sum()):  # padding was computed, too
                logits = logits[on_device(real.nonzero().squeeze(1), device)]
            chances = logits.float().softmax(-1)
            places = chances.detach().topk(top_k, -1).indices.flatten()
            ones = torch.ones_like(places, dtype=torch.float32)
            chosen = chosen + chances.new_zeros(chances.shape[-1]).index_add(0, places, ones)
            likely = likely + chances.sum(0)
        rows = torch.full((1,), float(real.sum()), device=device)
        chosen, likely, rows = sum_over_ranks(torch.cat([chosen, likely, rows])).split(
            [len(chosen), len(likely), 1]
        )
        looked = rows.squeeze(0) * len(hidden.router)
        uneven = len(likely) * (chosen / looked * (likely / looked)).sum()
        return rows.squeeze(0) * uneven
