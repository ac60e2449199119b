"""The vision tower of a Hugging Face VLM as an encoder, and its merger as a compressor's expert."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from affect_mllm.models.compressor.base import Expert
from affect_mllm.models.encoders.base import Encoder, States
from affect_mllm.models.spans import PatchCount
from affect_mllm.models.vlm.tower_plan import Grids, TowerPlan, plan


class VisionTower(Encoder):
    """Pictures `[N, T, P]` of grids `(t, h, w)` → states `[N, T, D]`, in the order of the patches.

    An item is what `Patches` holds, padded; here it is cut, and normalised as its transform says.

    The tower's merger is taken out. What stands in its place only puts `merge²` neighbouring
    states side by side, so that the tower itself undoes the order of its attention windows
    (Qwen2.5-VL reads a picture window by window and puts merged tokens back).

    `deepstack`: mergers of earlier layers stay in the tower, as they are, and their tokens are
    `States.deep`. They are frozen with it unless a stage names them. Experts are for the merger
    alone: it is where Emotion-Qwen has them, its tokens are what the gate mixes, and features
    that are added to the LLM's hidden states must go on fitting the frozen LLM.
    """

    def __init__(
        self,
        net: Any,
        *,
        transform: Callable[[Any], Any],
        deepstack: bool = False,
        frozen: bool = True,
    ) -> None:
        super().__init__(transform=transform, frozen=frozen)
        self.net, self.deepstack = net, deepstack
        self.merge = int(net.spatial_merge_size)
        self.patch_length = int(net.patch_embed.proj.weight[0].numel())
        self.patch_size = int(net.patch_embed.proj.weight.shape[-1])
        self.hidden_size = int(net.patch_embed.proj.weight.shape[0])
        self.net.merger = SideBySide(self.merge**2)
        self._freeze()

    @property
    def deep_mergers(self) -> Sequence[nn.Module]:
        """The mergers of earlier layers."""
        return tuple(self.net.deepstack_merger_list) if self.deepstack else ()

    def forward(
        self,
        values: torch.Tensor,
        mask: torch.Tensor,
        grids: Grids = (),
        *,
        plan: TowerPlan | None = None,
    ) -> States:
        """States of the real patches; padding gives zeros. `plan` is that of the grids."""
        plan = (plan or self.plan(grids, mask.shape[1])).to(values.device)
        places, every = plan.pictures.places, mask.shape.numel()
        split = "flash" not in self.net.config._attn_implementation  # as transformers asks
        output = self.net(self.patches(values, grids), **plan.arguments(split=split))
        flat = output.pooler_output.reshape(-1, self.hidden_size).float()
        states = flat.new_zeros(every, self.hidden_size).index_copy(0, places, flat)
        states = states.view(*mask.shape, self.hidden_size)
        return States(states, mask, tuple(output.deepstack_features) if self.deepstack else ())

    def patches(self, values: torch.Tensor, grids: Grids) -> torch.Tensor:
        """The items' real patches `[M, P]`, as the network reads them.

        They come block by block of `merge²`, so that neighbours in the list are what a merger
        joins.
        """
        items = zip(values, grids, strict=True)
        cut = [_cut(rows, grid, size=self.patch_size, merge=self.merge) for rows, grid in items]
        return self.pixels(torch.cat(cut)).flatten(1)

    def positions(self) -> PatchCount:
        """Its patches, before they are merged."""
        return PatchCount()

    def plan(self, grids: Grids, length: int) -> TowerPlan:
        """What `forward` derives from the grids of items padded to `length`, on the host."""
        return plan(self.net, grids, length)


def _cut(rows: torch.Tensor, grid: tuple[int, int, int], *, size: int, merge: int) -> torch.Tensor:
    """The patches `[t·h·w, 3, F, size²]`, F frames a step, of an item's padded rows `[T, P]`."""
    t, h, w = grid
    pictures = rows[: t * h * w]
    cells = pictures.reshape(t, -1, h // merge, merge, size, w // merge, merge, size, 3)
    # → step, block row, block column, row and column in it, channel, frame, pixel row, column
    ordered = cells.permute(0, 2, 5, 3, 6, 8, 1, 4, 7)
    return ordered.reshape(t * h * w, 3, -1, size * size)


class SideBySide(nn.Module):
    """`[S, D]` → `[S / count, count · D]`: neighbouring states joined, nothing learned."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """The joined states."""
        return states.reshape(-1, self.count * states.shape[-1])


class MergerExpert(Expert):
    """An expert of the hybrid compressor that begins as a copy of a VLM's own merger.

    `[N, S, D]` → `[N, S / merge², H]`: `merge²` neighbouring states to one token of the LLM,
    as many as the picture needs.
    """

    def __init__(self, merger: nn.Module, merge: int) -> None:
        super().__init__()
        self.merger = copy.deepcopy(merger).float().requires_grad_(True)  # as every connector
        self.states_per_token = merge**2

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Tokens `[N, ceil(S / merge²), H]`."""
        tokens = self.merger(self.groups(states, mask).flatten(0, 2))
        return tokens.unflatten(0, (len(states), -1))
