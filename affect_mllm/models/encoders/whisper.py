"""Whisper's encoder for audio: 30 s windows, masked by their true length, never truncated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.functional import gelu

from affect_mllm.config import weights_path
from affect_mllm.models.encoders.base import Encoder, States, of_layers
from affect_mllm.models.pretrained import loading
from affect_mllm.models.spans import StatesPerStep


class WhisperEncoder(Encoder):
    """Log-mel windows `[N, T, 80]`, T in 10 ms frames → states `[N, ⌈T/2⌉, D]`, 20 ms each.

    The frames of a clip are cut into windows of 30 s (3,000 frames), each encoded on its own as
    Whisper was trained to do. Only the true length is computed and attended to: the silence that
    transformers pads to 30 s is left out, which makes short clips cheap and each clip's states
    independent of its batch (Radford et al. 2022 for the architecture). `layers`: the hidden
    states whose mean is taken, numbered as transformers does (−1: after the final norm); with
    `mix` the model weights them by what it learns (`LayerMix`).
    """

    def __init__(
        self,
        model: str,
        *,
        transform: Callable[[Any], Any],
        layers: Sequence[int] = (-1,),
        mix: bool = False,
        frozen: bool = True,
    ) -> None:
        super().__init__(transform=transform, frozen=frozen)
        from transformers import WhisperModel

        self.name = model
        with loading(model, "a Whisper model"):
            whole = WhisperModel.from_pretrained(
                weights_path(model), dtype="float32", use_safetensors=True
            )
        self.net = whole.encoder
        self._choose(layers, int(self.net.config.d_model), mix=mix)
        self.window = 2 * int(self.net.config.max_source_positions)
        self._freeze()

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> States:
        """Encode each window; the windows of a clip follow one another in time."""
        starts = range(0, values.shape[1], self.window)
        parts = [
            self._encode(values[:, at : at + self.window], mask[:, at : at + self.window])
            for at in starts
        ]
        values = torch.cat([part.values for part in parts], 1)
        return States(values, torch.cat([part.mask for part in parts], 1))

    def _encode(self, mel: torch.Tensor, mask: torch.Tensor) -> States:
        mel = mel.masked_fill(~mask[..., None], 0).transpose(1, 2)
        hidden = gelu(self.net.conv1(mel)).masked_fill(~mask[:, None], 0)
        hidden = gelu(self.net.conv2(hidden)).transpose(1, 2)
        real = mask[:, ::2]
        hidden = hidden + self.net.embed_positions.weight[: hidden.shape[1]]
        attend = (real[:, None, None, :] | ~real.any(1)[:, None, None, None]).expand(
            -1, 1, hidden.shape[1], -1
        )
        every = [hidden]
        for layer in self.net.layers:
            every.append(_first(layer(every[-1], attend)))
        every[-1] = self.net.layer_norm(every[-1])
        chosen = of_layers(every, self.layers, side_by_side=self.side_by_side)
        return States(chosen.masked_fill(~real[..., None], 0), real)

    def each_layer(self) -> dict[str, int]:
        """One for each hidden state; the last is what comes out."""
        return self._open(len(self.net.layers) + 1)

    def state_count(self) -> StatesPerStep:
        """One state for two frames; windows have an even number of frames."""
        return StatesPerStep(of=2)

    def extra_repr(self) -> str:
        """The settings that change the states."""
        return f"layers={self.layers}"


def _first(output: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    return output[0] if isinstance(output, tuple) else output
