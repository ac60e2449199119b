"""The LLM step by step: prompts into a cache of keys and values, and what goes on from there."""

from __future__ import annotations

from typing import Any

import torch

from affect_mllm.models.llm.deepstack import prompted
from affect_mllm.models.llm.language_model import LanguageModel
from affect_mllm.models.llm.masks import decoder_masks
from affect_mllm.models.llm.prompt import Prompt
from affect_mllm.models.pretrained import cache_keyword


def prefilled(llm: LanguageModel, prompt: Prompt) -> tuple[torch.Tensor, Any]:
    """The last hidden states `[N, H]` of left-padded prompts, and transformers' cache of them."""
    from transformers import DynamicCache

    cache = DynamicCache()  # without the config: all of the prompt is kept, windows are masks
    masks = decoder_masks(torch.where(prompt.real, 0, -1), llm.config.to_dict())
    with prompted(llm.net.get_decoder(), prompt.deep):
        return continued(llm, prompt.embeds, masks, prompt.positions, cache)[:, -1], cache


def continued(
    llm: LanguageModel,
    embeds: torch.Tensor,
    masks: dict[str, torch.Tensor],
    positions: torch.Tensor,
    cache: Any,
) -> torch.Tensor:
    """Hidden states `[N, L, H]` of `embeds`, which see `masks` `[N, 1, L, cached + L]`."""
    more = {"use_cache": True, cache_keyword(llm.net.get_decoder()): cache}
    return llm.decoded(embeds.to(llm.dtype), masks, positions, **more)
