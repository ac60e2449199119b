"""A picture's patches, several side by side to a token, and its class token: MiniGPT-v2's way."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import PositiveInt
from torch import nn

from affect_mllm.models.compressor.base import Compressed, Compressor
from affect_mllm.types import ConfigError


@dataclass(frozen=True)
class FrameCount:
    """`tokens` for every frame of `states`."""

    states: int
    tokens: int

    def __call__(self, states: int) -> int:
        """The count for an item with `states` states."""
        return states // self.states * self.tokens


class JoinedPatches(Compressor):
    """Frames of a class state and `grid²` cells `[N, T·(1 + grid²), D]` → LLM tokens `[N, K, H]`.

    `join` cells that follow one another, side by side, are one token by a linear map; with
    `keep_class` the class state is another, by a map of its own, behind its frame's cells. As in
    Emotion-LLaMA (ZebangCheng/Emotion-LLaMA@92b8cb8, `minigpt_v2.py`: 1024 patches of EVA-CLIP to
    256 tokens by `llama_proj`, 5632 → 4096, and one by `cls_tk_llama_proj`) and, without the class
    token, Emotion-LLaMA v2 (ooochen-30/Emotion-LLaMA-v2@6d88b83). As there, nothing scales the
    tokens to the size of the LLM's embeddings: `output_rms` is not used.
    `grid` is that of the encoder: a frame has `grid × grid` cells.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        grid: PositiveInt,
        join: PositiveInt = 4,
        keep_class: bool = True,
        output_rms: float = 1.0,
    ) -> None:
        super().__init__()
        del output_rms
        if grid**2 % join:
            raise ConfigError(
                "compressor.join", f"{join} of {grid} × {grid} cells", expected="a divisor"
            )
        self.frame_states, self.join = 1 + grid**2, join
        self.project = nn.Linear(join * input_size, output_size)
        self.project_class = nn.Linear(input_size, output_size) if keep_class else None

    def token_count(self) -> FrameCount:
        """Of whole frames."""
        return FrameCount(self.frame_states, self._frame_tokens)

    def token_mask(self, mask: torch.Tensor) -> torch.Tensor:
        """True `[N, K]` where a token's frame is real."""
        return self.frames(mask)[..., 0].repeat_interleave(self._frame_tokens, 1)

    def forward(
        self, states: torch.Tensor, mask: torch.Tensor, text: torch.Tensor | None = None
    ) -> Compressed:
        """The tokens; `text` is not looked at. Raises DataError for a part of a frame."""
        frames = self.frames(states)
        tokens = self.project(frames[:, :, 1:].unflatten(2, (-1, self.join)).flatten(3))
        if self.project_class is not None:
            tokens = torch.cat([tokens, self.project_class(frames[:, :, :1])], 2)
        return Compressed(tokens.flatten(1, 2), mask=self.token_mask(mask))

    @property
    def _frame_tokens(self) -> int:
        return (self.frame_states - 1) // self.join + (self.project_class is not None)
