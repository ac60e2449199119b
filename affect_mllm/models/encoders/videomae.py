"""VideoMAE: a clip's frames in windows, each seen as a whole, as cells of space and time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from pydantic import PositiveInt
from torch.nn.functional import adaptive_avg_pool2d, pad

from affect_mllm.config import weights_path
from affect_mllm.models.encoders.base import Encoder, States, of_layers
from affect_mllm.models.indices import on_device
from affect_mllm.models.pretrained import loading
from affect_mllm.models.ragged import on_host, picked, put_back
from affect_mllm.models.spans import StatesPerStep


class VideoMAEEncoder(Encoder):
    """Frames `[N, T, 3, H, W]` → states `[N, ceil(T / 2)·grid², D]`, one step for two frames.

    VideoMAE (Tong et al. 2022) reads 16 frames at once. A clip is cut into windows of as many;
    where the last is short, its last frame stands still to the end, and the steps that show
    nothing new are masked. Patch states of a step are averaged down to `grid × grid` cells.
    `layers`: the hidden states whose mean is taken (−1: the model's output), or with `mix` what the
    model weights (`LayerMix`). `allow_bin` as in
    `SpeechEncoder`.
    """

    def __init__(
        self,
        model: str,
        *,
        transform: Callable[[Any], Any],
        grid: PositiveInt = 2,
        layers: Sequence[int] = (-1,),
        mix: bool = False,
        frozen: bool = True,
        allow_bin: bool = False,
    ) -> None:
        super().__init__(transform=transform, frozen=frozen)
        from transformers import VideoMAEModel

        self.name, self.grid = model, grid
        with loading(model, "a VideoMAE model"):
            self.net: Any = VideoMAEModel.from_pretrained(
                weights_path(model),
                dtype="float32",
                use_safetensors=None if allow_bin else True,
                weights_only=True,
            )
        self._choose(layers, int(self.net.config.hidden_size), mix=mix)
        self.window, self.step = int(self.net.config.num_frames), int(self.net.config.tubelet_size)
        self._freeze()

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> States:
        """States of the windows that show anything; zeros elsewhere."""
        short = -values.shape[1] % self.window
        values = pad(values, (0, 0) * (values.ndim - 2) + (0, short))
        real = pad(on_host(mask), (0, short)).unflatten(1, (-1, self.window))
        shown = real.any(2)
        counts = on_device(real[shown].sum(1), values.device)
        frames = _standing(picked(values.unflatten(1, (-1, self.window)), shown), counts)
        output = self.net(pixel_values=self.pixels(frames), output_hidden_states=True)
        every = (*output.hidden_states[:-1], output.last_hidden_state)
        cells = self._cells(of_layers(every, self.layers, side_by_side=self.side_by_side))
        states = put_back(cells, shown)
        real = on_device(real, values.device)
        steps = real[:, :, :: self.step].flatten(1).repeat_interleave(self.grid**2, dim=1)
        return States(states.flatten(1, 3).masked_fill(~steps.unsqueeze(-1), 0), steps)

    def _cells(self, hidden: torch.Tensor) -> torch.Tensor:
        """`[M, steps · patches, D]` → `[M, steps, grid², D]`."""
        steps = self.window // self.step
        side = int(self.net.config.image_size) // int(self.net.config.patch_size)
        maps = hidden.unflatten(1, (steps, side, side)).permute(0, 1, 4, 2, 3)
        cells = adaptive_avg_pool2d(maps.flatten(0, 1), self.grid).flatten(2).transpose(1, 2)
        return cells.unflatten(0, (-1, steps))

    def each_layer(self) -> dict[str, int]:
        """One for each hidden state; the last is what comes out."""
        return self._open(int(self.net.config.num_hidden_layers) + 1)

    def state_count(self) -> StatesPerStep:
        """`grid²` cells for each step of frames."""
        return StatesPerStep(self.grid**2, of=self.step)

    def positions(self) -> StatesPerStep:
        """Patches of whole windows, however few of their frames are real."""
        side = int(self.net.config.image_size) // int(self.net.config.patch_size)
        return StatesPerStep(self.window // self.step * side**2, of=self.window)

    def extra_repr(self) -> str:
        """The settings that change the states."""
        return f"grid={self.grid}, layers={self.layers}"


def _standing(windows: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Windows `[M, F, …]` in which the last of the `counts` real frames stays to the end."""
    place = torch.arange(windows.shape[1], device=windows.device)
    chosen = torch.minimum(place, counts.unsqueeze(1) - 1)
    rows = torch.arange(len(windows), device=windows.device).unsqueeze(1)
    return windows[rows, chosen]
