"""The Q-Former: learned queries that read a sequence of states through cross-attention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import PositiveInt
from torch import nn

from affect_mllm.types import DataError


@dataclass(frozen=True)
class QFormerShape:
    """Sizes of a Q-Former; the defaults are BERT-base's, with AffectGPT's two layers.

    `hidden_size` is its width, `layers` and `heads` are as many, `intermediate_size` is the width
    of a layer's MLP, `dropout` a probability in training.
    """

    hidden_size: PositiveInt = 768
    layers: PositiveInt = 2
    heads: PositiveInt = 12
    intermediate_size: PositiveInt = 3072
    dropout: float = 0.1


class QFormer(nn.Module):
    """`[N, S, D]` → `[N, queries, hidden_size]`: BERT layers with cross-attention in every one.

    BLIP-2's Q-Former (Li et al. 2023) without its text branch, by transformers; as AffectGPT uses
    it (zeroQiaoba/AffectGPT@fffca79), the states get learned positions first. A position counts
    the real states of an item, so neither padding nor an absent stream moves it.
    """

    def __init__(self, width: int, *, queries: int, positions: int, shape: QFormerShape) -> None:
        super().__init__()
        from transformers import Blip2QFormerConfig, Blip2QFormerModel

        config = Blip2QFormerConfig(
            hidden_size=shape.hidden_size,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            intermediate_size=shape.intermediate_size,
            hidden_dropout_prob=shape.dropout,
            attention_probs_dropout_prob=shape.dropout,
            cross_attention_frequency=1,
            encoder_hidden_size=width,
            use_qformer_text_input=False,
        )
        self.positions = nn.Embedding(positions, width)
        self.queries = nn.Parameter(torch.empty(1, queries, shape.hidden_size))
        nn.init.normal_(self.queries, std=config.initializer_range)
        self.net = Blip2QFormerModel(config)
        self.net.requires_grad_(True)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`[N, queries, hidden_size]`; an item without any real state gives zeros.

        Raises DataError where an item has more states than there are positions.
        """
        place = mask.long().cumsum(1) - 1
        known = self.positions.num_embeddings
        if states.shape[1] > known and int(place.max()) >= known:
            raise DataError(
                "Q-Former",
                f"{int(place.max()) + 1} states",
                expected=f"at most {known}",
                fix="raise `positions`, or let the encoder make fewer states",
            )
        places = self.positions(place.clamp(0, known - 1))
        some = mask.any(1, keepdim=True)
        found = self.net(
            query_embeds=self.queries.expand(len(states), -1, -1),
            encoder_hidden_states=(states + places).masked_fill(~mask.unsqueeze(-1), 0),
            encoder_attention_mask=(mask | ~some).long(),
        ).last_hidden_state
        return found.masked_fill(~some.unsqueeze(-1), 0)
