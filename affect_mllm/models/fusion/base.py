"""What every pre-fusion offers: states of the modality `multi` from the streams of the encoders."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from affect_mllm.models.encoders.base import States
from affect_mllm.models.indices import on_device


class Fusion(nn.Module):
    """Encoder states of several streams → `num_states` fused states, `hidden_size` wide.

    `streams` are the encoders' names in the order of `forward`'s list. An item that lacks a
    stream has a mask without a true value there: absent is not zero. `most_states`: of all
    streams of an item together (0: any number).
    """

    most_states = 0

    def __init__(self, input_sizes: Mapping[str, int], *, hidden_size: int) -> None:
        super().__init__()
        self.streams = tuple(input_sizes)
        self.hidden_size = hidden_size
        self.num_states = 1

    @abstractmethod
    def forward(self, streams: Sequence[States]) -> torch.Tensor:
        """`[B, num_states, hidden_size]` of streams `[B, S_i, D_i]`, each item on its own."""


def present(streams: Sequence[States]) -> torch.Tensor:
    """`[B, streams]`, true where an item has the stream."""
    return torch.stack([stream.mask.any(1) for stream in streams], 1)


def means(stream: States) -> torch.Tensor:
    """`[B, D]`, each item's mean over its real states; zeros where there is none."""
    weights = stream.mask.unsqueeze(-1).to(stream.values.dtype)
    return (stream.values * weights).sum(1) / weights.sum(1).clamp_min(1)


def one_each(states: States, owners: Sequence[int]) -> list[tuple[States, Sequence[int]]]:
    """States of items and whose they are, in parts in which nobody has two; in order."""
    turns = [list(owners[:place]).count(who) for place, who in enumerate(owners)]
    if not any(turns):
        return [(states, owners)]
    parts = []
    for turn in range(max(turns) + 1):
        places = [place for place, each in enumerate(turns) if each == turn]
        where = on_device(places, states.values.device)
        part = States(states.values.index_select(0, where), states.mask.index_select(0, where))
        parts.append((part, [owners[place] for place in places]))
    return parts


def gather(
    parts: Sequence[tuple[States, Sequence[int]]], items: int, *, like: torch.Tensor
) -> States:
    """One stream of `items` rows from the states of several modalities, one after another in time.

    `parts` are states with the row of each; `like` `[1, D]` gives width, type and device of a
    stream that nobody has.
    """
    empty = States(
        like.new_zeros(items, 1, like.shape[-1]),
        torch.zeros(items, 1, dtype=torch.bool, device=like.device),
    )
    columns = []
    for states, rows in parts:
        values, mask = states.values, states.mask
        where = on_device(rows, values.device)
        columns.append(
            States(
                values.new_zeros(items, *values.shape[1:]).index_copy(0, where, values),
                mask.new_zeros(items, mask.shape[1]).index_copy(0, where, mask),
            )
        )
    columns = columns or [empty]
    values, masks = [c.values for c in columns], [c.mask for c in columns]
    return States(torch.cat(values, 1), torch.cat(masks, 1))
