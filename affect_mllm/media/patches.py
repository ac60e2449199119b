"""Pictures at the sizes that a Qwen-VL vision tower cuts into patches."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from affect_mllm.media.image import Normal, resize
from affect_mllm.types import ConfigError, DataError, Patches

# OpenAI CLIP's normalisation, which Qwen2-VL and Qwen2.5-VL use.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class PatchTransform:
    """uint8 [T, H, W, 3] RGB to `Patches`: one picture, or the frames of a video.

    The sides become multiples of `patch_size · merge_size`, the aspect is kept as nearly as that
    allows, and a picture has `min_pixels` to `max_pixels` pixels. Frames are joined in groups of
    `temporal_patch_size`, the last one repeated where some are missing. The tower cuts them and
    normalises them by `normal`: then the numbers are those of transformers'
    Qwen2VLImageProcessorPil (Wang et al. 2024, Qwen2-VL, §2.1).
    """

    def __init__(
        self,
        *,
        patch_size: int = 14,
        temporal_patch_size: int = 2,
        merge_size: int = 2,
        pixels: tuple[int, int] = (56 * 56, 28 * 28 * 1280),
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
    ) -> None:
        """`pixels`: fewest and most of one picture. ConfigError for values that do not fit."""
        if not 0 < pixels[0] <= pixels[1]:
            raise ConfigError("pixels", f"{pixels}", expected="fewest ≤ most, both above 0")
        if min(patch_size, temporal_patch_size, merge_size) < 1 or min(std) <= 0:
            raise ConfigError(
                "patches", "a size below 1 or a std of 0", expected="positive numbers"
            )
        self.patch_size, self.temporal_patch_size = patch_size, temporal_patch_size
        self.merge_size, self.pixels = merge_size, (int(pixels[0]), int(pixels[1]))
        self.mean, self.std = np.asarray(mean, np.float32), np.asarray(std, np.float32)

    def __call__(self, images: npt.NDArray[np.uint8]) -> Patches:
        """`images` at their size. Raises DataError for another shape or an absurd aspect."""
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8 or not len(images):
            raise DataError(
                "images", f"{images.dtype} {images.shape}", expected="uint8 [T, H, W, 3], T > 0"
            )
        height, width = self.fitted(images.shape[1], images.shape[2])
        small = np.stack([resize(image, height, width) for image in images])
        short = -len(small) % self.temporal_patch_size
        small = np.concatenate([small, np.repeat(small[-1:], short, axis=0)])
        grid = self.grid(*images.shape[:3])
        return Patches(small.reshape(math.prod(grid), -1), grid, self.temporal_patch_size)

    def made(self, images: npt.NDArray[np.uint8]) -> Patches:
        """Nothing but the shape of what it makes of `images`."""
        grid, (height, width) = self.grid(*images.shape[:3]), self.fitted(*images.shape[1:3])
        count = math.prod(grid)
        size = grid[0] * self.temporal_patch_size * height * width * 3
        values = np.broadcast_to(np.uint8(0), (count, size // count))
        return Patches(values, grid, self.temporal_patch_size)

    @property
    def normal(self) -> Normal:
        """What the tower does to the pixels."""
        return Normal(self.mean, self.std)

    def fitted(self, height: int, width: int) -> tuple[int, int]:
        """The size that a picture is brought to, in pixels. Raises DataError beyond 200 : 1."""
        if max(height, width) > 200 * min(height, width):
            raise DataError("image", f"{width} × {height} pixels", expected="an aspect below 200:1")
        unit = self.patch_size * self.merge_size
        fewest, most = self.pixels
        high, wide = round(height / unit) * unit, round(width / unit) * unit
        if high * wide > most:
            shrink = math.sqrt(height * width / most)
            high = max(unit, math.floor(height / shrink / unit) * unit)
            wide = max(unit, math.floor(width / shrink / unit) * unit)
        elif high * wide < fewest:
            grow = math.sqrt(fewest / (height * width))
            high = math.ceil(height * grow / unit) * unit
            wide = math.ceil(width * grow / unit) * unit
        return high, wide

    def grid(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """The `(t, h, w)` that pictures of this size get."""
        high, wide = self.fitted(height, width)
        steps = math.ceil(frames / self.temporal_patch_size)
        return steps, high // self.patch_size, wide // self.patch_size
