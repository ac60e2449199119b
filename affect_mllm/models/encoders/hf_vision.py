"""Vision transformers of transformers as frame encoders: CLIP, SigLIP, DINOv2 and their kin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch.nn.functional import adaptive_avg_pool2d

from affect_mllm.config import weights_path
from affect_mllm.models.encoders.base import Encoder, States, by_frame, of_layers
from affect_mllm.models.pretrained import loading
from affect_mllm.models.ragged import on_host, picked
from affect_mllm.models.spans import PictureTokens, StatesPerStep
from affect_mllm.types import ConfigError

FrameOutput = Literal["patches", "cls", "pooled", "projected"]


class HFVisionEncoder(Encoder):
    """Frames `[N, T, 3, H, W]` → states, frame by frame.

    `output="patches"` gives `[N, T·grid², D]`, row by row: the patch states, averaged over the
    hidden `layers` (−1: the last, before pooling heads), are averaged down to `grid × grid` cells;
    leading tokens that are not patches (CLS, registers) are dropped. The others give one state a
    frame, `[N, T, D]`: `cls` the class token of `layers`, `pooled` what the model's own head makes
    of the last layer, `projected` CLIP's image embedding (`get_image_features`), which AffectGPT
    reads (zeroQiaoba/AffectGPT@fffca79, 768 wide for ViT-L/14). With `mix` the model weights the
    `layers` (`LayerMix`) instead of taking their mean.
    """

    def __init__(
        self,
        model: str,
        *,
        transform: Callable[[Any], Any],
        output: FrameOutput = "patches",
        grid: PositiveInt = 2,
        layers: Sequence[int] = (-1,),
        mix: bool = False,
        frozen: bool = True,
    ) -> None:
        super().__init__(transform=transform, frozen=frozen)
        from transformers import AutoConfig, AutoModel

        self.name, self.output, self.grid = model, output, grid
        if mix and output in ("pooled", "projected"):
            raise ConfigError("encoder.mix", f"with output: {output}", expected="patches or cls")
        path = weights_path(model)
        with loading(model, "a vision model"):
            config = AutoConfig.from_pretrained(path)
            whole = AutoModel.from_pretrained(path, dtype="float32", use_safetensors=True)
        parts = dict(whole.named_children())
        self.net: Any = parts.get("vision_model", whole)
        self.projection = parts.get("visual_projection") if output == "projected" else None
        if output == "projected" and self.projection is None:
            raise ConfigError(
                "encoder.output",
                f"projected, but {model} has no visual projection",
                expected="a CLIP, or output: pooled (the image embedding of SigLIP)",
            )
        width = int(config.projection_dim if self.projection else self._width)
        self._choose(layers, width, mix=mix)
        self._freeze()

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> States:
        """States of the real frames; masked frames are not run and give zeros.

        Raises ConfigError where the pictures are not of the size that the model takes.
        """
        pixels = self.pixels(picked(values, on_host(mask)))
        try:
            output = self.net(pixel_values=pixels, output_hidden_states=True)
        except (ValueError, RuntimeError) as error:
            size = self.net.config.image_size
            if pixels.shape[-1] == size:
                raise
            raise ConfigError(
                "encoder.transform.size", f"{pixels.shape[-1]}: {error}", expected=str(size)
            ) from error
        return by_frame(self._states(output, pixels.shape[-2:]), mask)

    @property
    def _width(self) -> int:
        return int(self.net.config.hidden_size)

    def _states(self, output: Any, size: Sequence[int]) -> torch.Tensor:
        if self.output in ("pooled", "projected"):
            pooled = output.pooler_output
            return (self.projection(pooled) if self.projection else pooled).unsqueeze(1)
        hidden = of_layers(output.hidden_states, self.layers, side_by_side=self.side_by_side)
        high, wide = (side // self.net.config.patch_size for side in size)
        extra = hidden.shape[1] - high * wide
        if self.output == "patches":
            return self._cells(hidden[:, extra:], high, wide)
        if extra < 1:
            raise ConfigError(
                "encoder.output", f"cls, but {self.name} has no class token", expected="pooled"
            )
        return hidden[:, :1]

    def _cells(self, patches: torch.Tensor, high: int, wide: int) -> torch.Tensor:
        maps = patches.transpose(1, 2).unflatten(2, (high, wide))
        return adaptive_avg_pool2d(maps, self.grid).flatten(2).transpose(1, 2)

    def each_layer(self) -> dict[str, int]:
        """One for each hidden state, the last being what comes out; of `pooled` and `projected`
        there is one.
        """
        if self.output in ("pooled", "projected"):
            return super().each_layer()
        return self._open(int(self.net.config.num_hidden_layers) + 1)

    def state_count(self) -> StatesPerStep:
        """`grid²` cells a frame, or one state."""
        return StatesPerStep(self.grid**2 if self.output == "patches" else 1)

    def positions(self) -> PictureTokens:
        """Patches, class token and registers of every frame."""
        embeddings, config = self.net.embeddings, self.net.config
        named = (getattr(embeddings, name, None) for name in ("class_embedding", "cls_token"))
        extra = sum(token is not None for token in named)
        extra += int(getattr(config, "num_register_tokens", 0))
        return PictureTokens(int(config.patch_size), extra)

    def extra_repr(self) -> str:
        """The settings that change the states."""
        return f"output={self.output}, grid={self.grid}, layers={self.layers}"
