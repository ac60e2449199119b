"""Any image model of timm as a frame encoder: a small grid of states for each frame."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import adaptive_avg_pool2d

from affect_mllm.config import weights_path
from affect_mllm.models.encoders.base import Encoder, States
from affect_mllm.types import CheckpointError


class TimmEncoder(Encoder):
    """Frames `[N, T, 3, H, W]` → states `[N, T·grid², D]`, frame by frame, row by row.

    `model` is `asset:NAME`, a local folder in timm's Hub format, or a Hub id (`timm/…`).
    The last feature map is averaged down to `grid × grid` cells.
    """

    def __init__(
        self, model: str, *, transform: Callable[[Any], Any], grid: int = 2, frozen: bool = True
    ) -> None:
        super().__init__(transform=transform, frozen=frozen)
        self.name, self.grid = model, grid
        self.net = _create(weights_path(model)).to(memory_format=torch.channels_last)
        self.hidden_size = int(self.net.num_features)
        self._freeze()

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> States:
        """States of the real frames; masked frames are not run and give zeros."""
        items, frames = mask.shape
        pixels = values[mask].contiguous(memory_format=torch.channels_last)
        maps = self.net.forward_features(pixels)
        cells = adaptive_avg_pool2d(maps, self.grid).flatten(2).transpose(1, 2)
        states = cells.new_zeros(items, frames, *cells.shape[1:])
        states[mask] = cells
        return States(states.flatten(1, 2), mask.repeat_interleave(self.grid**2, dim=1))

    def extra_repr(self) -> str:
        """The settings that change the states."""
        return f"grid={self.grid}"


def _create(path: str) -> Any:
    import timm

    folder = Path(path)
    if not folder.is_dir():
        return timm.create_model(f"hf-hub:{path}", pretrained=True, num_classes=0)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        spec = json.loads((folder / "config.json").read_text())
        weights = load_file(folder / "model.safetensors")
        net = timm.create_model(spec["architecture"], num_classes=spec.get("num_classes", 1000))
        net.load_state_dict(weights)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        # RuntimeError: no such architecture, or weights of another one.
        raise CheckpointError(str(folder), str(error), expected="a timm folder") from error
    return net
