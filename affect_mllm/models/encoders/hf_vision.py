"""Vision transformers of transformers as frame encoders: CLIP, SigLIP, DINOv2 and their kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import adaptive_avg_pool2d

from affect_mllm.config import weights_path
from affect_mllm.models.encoders.base import Encoder, States
from affect_mllm.models.pretrained import loading


class HFVisionEncoder(Encoder):
    """Frames `[N, T, 3, H, W]` → states `[N, T·grid², D]`, frame by frame, row by row.

    The patch states of hidden layer `layer` (−1: the last, before pooling heads) are averaged
    down to `grid × grid` cells; leading tokens that are not patches (CLS, registers) are dropped.
    """

    def __init__(
        self,
        model: str,
        *,
        transform: Callable[[Any], Any],
        grid: int = 2,
        layer: int = -1,
        frozen: bool = True,
    ) -> None:
        super().__init__(transform=transform, frozen=frozen)
        from transformers import AutoConfig, AutoModel

        self.name, self.grid, self.layer = model, grid, layer
        path = weights_path(model)
        with loading(model, "a vision model"):
            config = AutoConfig.from_pretrained(path)
            whole = AutoModel.from_pretrained(path, dtype="float32", use_safetensors=True)
        two_towers = getattr(config, "vision_config", None) is not None
        self.net = whole.vision_model if two_towers else whole
        self.hidden_size = int(self.net.config.hidden_size)
        self._freeze()

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> States:
        """States of the real frames; masked frames are not run and give zeros."""
        items, frames = mask.shape
        output = self.net(pixel_values=values[mask], output_hidden_states=True)
        cells = self._cells(output.hidden_states[self.layer])
        states = cells.new_zeros(items, frames, *cells.shape[1:])
        states[mask] = cells
        return States(states.flatten(1, 2), mask.repeat_interleave(self.grid**2, dim=1))

    def _cells(self, hidden: torch.Tensor) -> torch.Tensor:
        side = int((hidden.shape[1]) ** 0.5)
        patches = hidden[:, hidden.shape[1] - side * side :]
        maps = patches.transpose(1, 2).unflatten(2, (side, side))
        return adaptive_avg_pool2d(maps, self.grid).flatten(2).transpose(1, 2)

    def extra_repr(self) -> str:
        """The settings that change the states."""
        return f"grid={self.grid}, layer={self.layer}"
