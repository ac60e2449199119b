"""A Hugging Face VLM whose vision merger is the hybrid compressor: Emotion-Qwen's way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from affect_mllm.config import weights_path
from affect_mllm.media.patches import PatchTransform
from affect_mllm.models.compressor.base import Compressor
from affect_mllm.models.encoders.base import States
from affect_mllm.models.llm.attention import Attention
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.models.pretrained import loading
from affect_mllm.models.spans import Limits
from affect_mllm.models.vlm.vision_tower import MergerExpert, VisionTower
from affect_mllm.models.vlm.vlm_text import VLMText
from affect_mllm.types import (
    Batch,
    ConfigError,
    DataError,
    MediaBatch,
    Patches,
    Placeholder,
    SpanRule,
)

VISUAL = "visual"
VIDEO = ("frame", "face")  # several pictures in time; `image` is one


@dataclass(frozen=True)
class VisionPlaceholder:
    """How many tokens patches take in the prompt, and the VLM's own ids around and in them.

    `stamped`: each time step by itself, behind its time. The form is that of Qwen3-VL's processor
    as published with it (transformers 4.57: `<1.5 seconds>`, then start, step, end); the 5.24 one
    keeps the chat template's start and end around it all, which the published one replaces.
    """

    merge: int
    start: int
    end: int
    filler: int
    stamped: bool = False

    def __call__(self, patches: Patches) -> Placeholder:
        """One token for `merge²` patches. Raises DataError for a stamped video without times."""
        count = int(np.prod(patches.grid)) // self.merge**2
        whole = Placeholder(count, (self.start,), (self.end,), self.filler)
        if not self.stamped:
            return whole
        steps = patches.grid[0]
        if len(patches.times_s) != steps:
            raise DataError(
                "video",
                f"{steps} time steps, {len(patches.times_s)} times",
                expected="one each, which this VLM's prompts name",
                fix="Patches.timed(times_s)",
            )
        step = whole._replace(length=count // steps)
        first, *then = [step._replace(words=f"<{at_s:.1f} seconds>") for at_s in patches.times_s]
        return first._replace(then=tuple(then))


class NativeVLM(AffectMLLM):
    """A VLM of transformers (`vlm_family`) with the hybrid compressor as its merger.

    `model` is a local folder or a Hub id. Every expert begins as a copy of the VLM's merger, so
    that at step 0 the logits are the VLM's own (Emotion-Qwen, arXiv 2505.06685, figure;
    24DavidHuang/Emotion-Qwen@8c52bf3 names the parts). Tokens depend on the pictures' sizes;
    `image_pixels` and `video_pixels` are the fewest and most of one picture and of one frame.
    """

    def __init__(
        self,
        model: str,
        *,
        compressor: Callable[..., Compressor],
        lora: Any = None,
        dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16",
        attention: Attention = "auto",
        image_pixels: tuple[int, int] = (56 * 56, 28 * 28 * 1280),
        video_pixels: tuple[int, int] = (56 * 56, 28 * 28 * 256),
    ) -> None:
        llm = VLMText(model, lora=lora, dtype=dtype, attention=attention)
        visual = llm.take_tower()
        merger, merge = visual.merger, int(visual.spatial_merge_size)
        transforms = {
            name: _transform(model, visual.config, pixels)
            for name, pixels in (("image", image_pixels), ("video", video_pixels))
        }
        tower = VisionTower(visual, transform=transforms["video"], deepstack=llm.family.deepstack)
        super().__init__(
            encoders={VISUAL: tower},
            branches=dict.fromkeys((*VIDEO, "image"), VISUAL),
            compressors={
                VISUAL: partial(compressor, expert=partial(_expert, merger=merger, merge=merge))
            },
            llm=llm,
        )
        self.image_transform = transforms["image"]

    @classmethod
    def tiny(cls, model: str, folder: Path) -> dict[str, Any]:
        """Tiny random weights of that VLM and a processor, as `Encoder.tiny`."""
        from affect_mllm.models.tiny.language import tiny_vlm

        return tiny_vlm(model, folder)

    def encode(self, modality: str, items: MediaBatch) -> States:
        """The tower's states of every patch of one modality's items."""
        if items.encoded:
            raise ConfigError(
                "native VLM", "states from a feature cache", fix="set data.cache_dir=null"
            )
        tower = self.encoders[VISUAL]
        assert isinstance(tower, VisionTower)
        if items.values.shape[-1] != tower.patch_length:
            raise ConfigError(
                "native VLM",
                f"patches of {items.values.shape[-1]} numbers",
                expected=f"{tower.patch_length}",
                fix="take the model's own transforms",
            )
        return tower(items.values, items.mask, items.grids)

    def positions(self, batch: Batch) -> torch.Tensor:
        """Positions in time, height and width `[3, R, L]`, as the VLM itself counts them."""
        return self.vlm.positions(batch, VIDEO)

    def limits(self) -> Limits:
        """None: the tower reads as many patches as a picture is cut into."""
        return Limits({})

    def span_lengths(self) -> dict[str, SpanRule]:
        """Rules, since tokens depend on the size of the pictures."""
        config, merge = self.llm.net.config, self._tower.merge
        ends = (config.vision_start_token_id, config.vision_end_token_id)
        video = VisionPlaceholder(
            merge, *ends, config.video_token_id, stamped=self.vlm.family.stamped
        )
        image = VisionPlaceholder(merge, *ends, config.image_token_id)
        return {**dict.fromkeys(VIDEO, video), "image": image}

    def transforms(self) -> dict[str, Callable[..., Any]]:
        """Cutting into patches: images and videos have limits of their own."""
        return {**dict.fromkeys(VIDEO, self._tower.transform), "image": self.image_transform}

    def encode_clip(self, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Refused: a tower's states are larger than the clip that they were made of."""
        raise ConfigError(
            "native VLM",
            "a feature cache is asked for",
            expected="none: one clip's patch states take more room than the clip",
            fix="set data.cache_dir=null",
        )

    @property
    def vlm(self) -> VLMText:
        """The language model, with what only a VLM's has."""
        assert isinstance(self.llm, VLMText)
        return self.llm

    @property
    def _tower(self) -> VisionTower:
        tower = self.encoders[VISUAL]
        assert isinstance(tower, VisionTower)
        return tower


def _expert(
    input_size: int, output_size: int, *, merger: nn.Module, merge: int, output_rms: float = 1.0
) -> MergerExpert:
    """A copy of the VLM's merger, whose sizes and scale are right already."""
    del input_size, output_size, output_rms
    return MergerExpert(merger, merge)


def _transform(model: str, vision: Any, pixels: tuple[int, int]) -> PatchTransform:
    from transformers import AutoImageProcessor

    with loading(model, "a VLM with its image processor"):
        normal = AutoImageProcessor.from_pretrained(weights_path(model))
    return PatchTransform(
        patch_size=vision.patch_size,
        temporal_patch_size=vision.temporal_patch_size,
        merge_size=vision.spatial_merge_size,
        pixels=pixels,
        mean=normal.image_mean,
        std=normal.image_std,
    )
