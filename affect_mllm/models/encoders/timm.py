"""Any image model of timm as a frame encoder: a small grid of states for each frame, or one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch.nn.functional import adaptive_avg_pool2d, layer_norm

from affect_mllm.config import weights_path
from affect_mllm.models.encoders.base import Encoder, States, by_frame
from affect_mllm.models.pretrained import is_weightless, loading
from affect_mllm.models.ragged import on_host, picked
from affect_mllm.models.spans import PictureTokens, StatesPerStep
from affect_mllm.types import CheckpointError, ConfigError


class TimmEncoder(Encoder):
    """Frames `[N, T, 3, H, W]` → states, frame by frame.

    `model` is `asset:NAME`, a local folder in timm's Hub format, or a Hub id (`timm/…`), of which
    only `config.json` and `model.safetensors` are read. `output="map"` gives `[N, T·grid², D]`,
    row by row: the last feature map, or the mean of the stages `layers` (as `forward_intermediates`
    numbers them), averaged down to `grid × grid` cells. Maps of both layouts (Swin has its channels
    last) and token sequences (EVA, ViT) are understood. `tokens` puts the class token in front of
    each frame's cells, `[N, T·(1 + grid²), D]`. `pooled` gives `[N, T, D]`: what the model's head
    pools before its classifier, for EVA-CLIP the class token. `image_size` is for pictures of
    another size than the model was trained on: its position embeddings are interpolated, as timm
    does it, or without `antialias` (by another cubic, as BLIP-2 and MiniGPT-v2 do it).
    `norm="plain"` puts a layer norm without weights behind the stages `layers` instead of the
    model's own, which was trained for its last layer (MiniGPT-v2's `ln_vision`, which nothing
    loads: Vision-CAIR/MiniGPT-4@d94738a, `base_model.py`).
    """

    def __init__(
        self,
        model: str,
        *,
        transform: Callable[[Any], Any],
        output: Literal["map", "tokens", "pooled"] = "map",
        grid: PositiveInt = 2,
        layers: Sequence[int] = (),
        image_size: PositiveInt | None = None,
        antialias: bool = True,
        norm: Literal["own", "plain"] = "own",
        frozen: bool = True,
    ) -> None:
        super().__init__(transform=transform, frozen=frozen)
        self.name, self.output, self.grid, self.layers = model, output, grid, tuple(layers)
        self.norm = norm
        if norm == "plain" and not layers:
            raise ConfigError("encoder.norm", "plain, without layers", expected="some `layers`")
        self.net = _create(model, image_size, antialias).to(memory_format=torch.channels_last)
        if output == "tokens" and not getattr(self.net, "num_prefix_tokens", 0):
            raise ConfigError(
                "encoder.output", f"tokens, but {model} has no class token", expected="map"
            )
        self.hidden_size = self._width()
        self._freeze()

    @classmethod
    def tiny(cls, model: str, folder: Path) -> dict[str, Any]:
        """Tiny random weights of timm's family of that name."""
        from affect_mllm.models.tiny.weights import tiny_timm

        return tiny_timm(model, folder)

    def forward(self, values: torch.Tensor, mask: torch.Tensor) -> States:
        """States of the real frames; masked frames are not run and give zeros."""
        pixels = self.pixels(picked(values, on_host(mask))).contiguous(
            memory_format=torch.channels_last
        )
        if self.side_by_side:
            return by_frame(self._every_layer(pixels), mask)
        if self.layers:
            return by_frame(self._mean_of_layers(pixels), mask)
        features = self.net.forward_features(pixels)
        if self.output == "pooled":
            return by_frame(self.net.forward_head(features, pre_logits=True).unsqueeze(1), mask)
        cells = self._cells(self._map(features, pixels.shape[-2:]))
        if self.output == "tokens":
            cells = torch.cat([features[:, :1], cells], 1)
        return by_frame(cells, mask)

    def each_layer(self) -> dict[str, int]:
        """Its stages, and "last": what `forward_features` gives; averaged to cells, no tokens."""
        if self.output == "pooled":
            return super().each_layer()
        widths = [int(stage["num_chs"]) for stage in self.net.feature_info]
        self.layers, self.side_by_side = tuple(range(len(widths))), True
        named = {str(stage): width for stage, width in enumerate(widths)}
        named["last"] = int(self.net.num_features)
        self.hidden_size = sum(named.values())
        return named

    def _every_layer(self, pixels: torch.Tensor) -> torch.Tensor:
        """`[M, C, D]` of every stage and of what comes out."""
        last, stages = self.net.forward_intermediates(pixels, indices=list(self.layers), norm=True)
        maps = [*stages, self._map(last, pixels.shape[-2:])]
        return torch.cat([self._cells(each) for each in maps], -1)

    def _mean_of_layers(self, pixels: torch.Tensor) -> torch.Tensor:
        """`[M, C, D]` of the chosen stages."""
        how: dict[str, Any] = {
            "indices": sorted(self.layers),
            "norm": self.norm == "own",
            "intermediates_only": True,
        }
        if self.output == "map":
            stages = self.net.forward_intermediates(pixels, **how)
            return self._cells(torch.stack([self._normed(each) for each in stages]).mean(0))
        pairs = self.net.forward_intermediates(pixels, **how, return_prefix_tokens=True)
        maps = torch.stack([self._normed(each) for each, _ in pairs]).mean(0)
        heads = torch.stack([self._normed(each[:, :1], dim=-1) for _, each in pairs]).mean(0)
        return torch.cat([heads, self._cells(maps)], 1)

    def _normed(self, values: torch.Tensor, dim: int = 1) -> torch.Tensor:
        """Each state, along `dim`, by a norm without weights where `norm` is plain."""
        if self.norm == "own":
            return values
        states = values.movedim(dim, -1)
        return layer_norm(states, states.shape[-1:]).movedim(-1, dim)

    def _width(self) -> int:
        if self.output == "pooled":
            if self.layers:
                raise ConfigError(
                    "encoder.layers", "with output: pooled", expected="output: map or tokens"
                )
            return int(self.net.head_hidden_size)
        if not self.layers:
            return int(self.net.num_features)
        stages = self.net.feature_info
        if any(not -len(stages) <= layer < len(stages) for layer in self.layers):
            raise ConfigError(
                "encoder.layers",
                str(list(self.layers)),
                expected=f"some of the {len(stages)} stages of {self.name}",
            )
        chosen = [stages[layer] for layer in self.layers]
        shapes = {(stage["num_chs"], stage["reduction"]) for stage in chosen}
        if len(shapes) > 1:
            raise ConfigError(
                "encoder.layers",
                f"stages of (channels, stride) {sorted(shapes)}",
                expected="stages of one shape, whose mean can be taken",
            )
        return int(chosen[0]["num_chs"])

    def _map(self, features: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        """Feature maps `[M, D, h, w]` of what `forward_features` gave."""
        if features.ndim == 3:
            prefix = int(self.net.num_prefix_tokens)
            patches = features[:, prefix:].transpose(1, 2)
            high, wide = self.net.patch_embed.dynamic_feat_size(size)
            return patches.unflatten(2, (high, wide))
        last = features.shape[-1] == self.net.num_features != features.shape[1]
        return features.permute(0, 3, 1, 2) if last else features

    def _cells(self, maps: torch.Tensor) -> torch.Tensor:
        return adaptive_avg_pool2d(maps, self.grid).flatten(2).transpose(1, 2)

    def state_count(self) -> StatesPerStep:
        """`grid²` cells a frame, one more with the class token, or one state."""
        cells = self.grid**2
        return StatesPerStep({"map": cells, "tokens": cells + 1, "pooled": 1}[self.output])

    def positions(self) -> PictureTokens:
        """A transformer's tokens, or the cells of a network's last maps."""
        stages = getattr(self.net, "feature_info", None)
        reduction = int(stages[-1]["reduction"]) if stages else 16
        return PictureTokens(reduction, int(getattr(self.net, "num_prefix_tokens", 0)))

    def extra_repr(self) -> str:
        """The settings that change the states."""
        plain = ", norm=plain" if self.norm == "plain" else ""
        return f"output={self.output}, grid={self.grid}, layers={self.layers}{plain}"


def _create(model: str, image_size: int | None, antialias: bool) -> Any:
    import timm
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = _folder(model)
    try:
        spec = json.loads((folder / "config.json").read_text())
        options = dict(spec.get("model_args", {}))
        options |= {} if image_size is None else {"img_size": image_size}
        classes = spec.get("num_classes", 1000)
        net = timm.create_model(spec["architecture"], num_classes=classes, **options)
        if not is_weightless():
            weights = load_file(folder / "model.safetensors")
            if image_size is not None:
                _resize_positions(net, weights, antialias)
            net.load_state_dict(weights)
    except TypeError as error:  # of a network that takes any size, or has no such option
        raise ConfigError(
            "encoder", f"{folder.name}: {error}", fix="leave image_size out"
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        # RuntimeError: no such architecture, or weights of another one.
        raise CheckpointError(str(folder), str(error), expected="a timm folder") from error
    return net


def _resize_positions(net: Any, weights: dict[str, torch.Tensor], antialias: bool) -> None:
    """Interpolate learned position embeddings to the network's own number of patches, in place."""
    from timm.layers.pos_embed import resample_abs_pos_embed

    found = weights.get("pos_embed")
    if found is not None and found.shape != net.pos_embed.shape:
        weights["pos_embed"] = resample_abs_pos_embed(
            found,
            list(net.patch_embed.grid_size),
            num_prefix_tokens=int(net.num_prefix_tokens),
            antialias=antialias,
        )


def _folder(model: str) -> Path:
    path = Path(weights_path(model))
    if path.is_dir():
        return path
    from huggingface_hub import hf_hub_download

    with loading(model, "a timm model with model.safetensors"):
        config = hf_hub_download(model, "config.json")
        if is_weightless():
            return Path(config).parent
        return Path(hf_hub_download(model, "model.safetensors")).parent
