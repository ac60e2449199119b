"""What a vision tower needs to know of its pictures' sizes, worked out on the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from affect_mllm.borders import Borders
from affect_mllm.moving import moved

Grids = Sequence[tuple[int, int, int]]


@dataclass(frozen=True)
class TowerPlan:
    """`pictures` attend to themselves, or in some layers `windows` of them do.

    The places of `pictures` are those of real patches among items padded to one length and laid
    end to end; `tensors` have the names of the tower's keywords. On a device none of it has to be
    asked of that device again, as transformers' towers do in every forward pass.
    """

    grids: torch.Tensor
    pictures: Borders
    windows: Borders | None
    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def to(self, device: torch.device) -> TowerPlan:
        """The same on `device`, but for the grids, which only the host reads."""
        tensors = {name: moved(tensor, device) for name, tensor in self.tensors.items()}
        windows = None if self.windows is None else self.windows.to(device)
        return TowerPlan(self.grids, self.pictures.to(device), windows, tensors)

    def arguments(self, *, split: bool) -> dict[str, Any]:
        """Keywords of the tower's forward pass; one that is `split` by window asks the host."""
        if split:
            windows = self.windows and Borders.between(self.windows.lengths)
            pictures = Borders.between(self.pictures.lengths)
            return replace(self, pictures=pictures, windows=windows).arguments(split=False)
        given: dict[str, Any] = {
            "grid_thw": self.grids,
            "cu_seqlens": self.pictures.starts,
            "max_seqlen": self.pictures.longest,
            "borders": (self.pictures,),
            **self.tensors,
        }
        if self.windows is not None:
            given |= {
                "cu_window_seqlens": self.windows.starts,
                "max_window_seqlen": self.windows.longest,
                "borders": (self.pictures, self.windows),
            }
        return given


def plan(net: Any, grids: Grids, length: int) -> TowerPlan:
    """The plan of a tower of transformers for items of these `(t, h, w)`, padded to `length`.

    Each step of time is a picture by itself.
    """
    from transformers.vision_utils import (
        get_vision_interpolation_indices_and_weights,
        get_vision_position_ids,
        get_vision_window_index,
    )

    merge = int(net.spatial_merge_size)
    grid = torch.tensor(grids, dtype=torch.long, device="cpu").reshape(-1, 3)
    sizes = [t * h * w for t, h, w in grids]
    pictures = Borders.between([h * w for t, h, w in grids for _ in range(t)])
    places = [torch.arange(size, device="cpu") + i * length for i, size in enumerate(sizes)]
    pictures = pictures._replace(places=torch.cat(places))
    tensors = {"position_ids": get_vision_position_ids(grid, merge)}
    windows = None
    if hasattr(net, "fullatt_block_indexes"):
        tensors["window_index"], cuts = get_vision_window_index(
            grid, spatial_merge_size=merge, window_size=net.window_size, patch_size=net.patch_size
        )
        windows = Borders.between(cuts.diff().tolist())
    if hasattr(net, "num_grid_per_side"):
        tensors["interp_indices"], tensors["interp_weights"] = (
            get_vision_interpolation_indices_and_weights(
                grid,
                num_grid_per_side=net.num_grid_per_side,
                mode=net.interpolation_mode,
                align_corners=net.interpolation_align_corners,
                spatial_merge_size=merge,
            )
        )
    return TowerPlan(grid, pictures, windows, tensors)
