"""What an example is asked, as one vector: for gates that depend on the instruction."""

from __future__ import annotations

import torch

from affect_mllm.models.indices import on_device
from affect_mllm.types import Batch


def instruction_means(embeds: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The mean embedding `[B, H]` of each example's prompt, from `embeds` `[R, L, H]`.

    Its words up to the first supervised token, media placeholders and padding not counted: the
    same while training and before an answer exists. No gradient flows into the embeddings.
    """
    host = batch.on_host
    words = host.segments >= 0
    for span in host.spans:
        words[span.row, span.start : span.start + span.length] = False
    answers = (host.labels != -100).long().cumsum(1)
    begins = (host.position_ids == 0) & (host.segments >= 0)
    earlier = answers - (host.labels != -100).long()  # answers before this position
    before_example = torch.where(begins, earlier, 0).cummax(1).values
    words &= answers == before_example
    examples, places = len(host.sample_ids), words.flatten().nonzero().squeeze(1)
    owner = on_device(host.segments.flatten()[places], embeds.device)
    chosen = embeds.detach().flatten(0, 1)[on_device(places, embeds.device)].float()
    total = chosen.new_zeros(examples, chosen.shape[-1]).index_add(0, owner, chosen)
    count = chosen.new_zeros(examples).index_add(0, owner, torch.ones_like(chosen[:, 0]))
    return total / count.clamp_min(1).unsqueeze(-1)
