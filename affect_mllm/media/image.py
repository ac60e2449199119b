"""Pixels at the size that an image encoder reads, and how it wants them normalised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from affect_mllm.types import ConfigError, DataError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normal(NamedTuple):
    """`(value / 255 − mean) / std` of uint8 pictures: float32 `[3]` each, of values in 0..1.

    The encoder computes it where it runs: what is moved there is a quarter of float32.
    """

    mean: npt.NDArray[np.float32]
    std: npt.NDArray[np.float32]


class ImageTransform:
    """uint8 [T, H, W, 3] RGB to uint8 [T, 3, size, size], the preprocessing of one encoder.

    Its encoder normalises them by `normal` (`Encoder.pixels`).
    `size` is the side of what comes out, in pixels; `interpolation` how it is resized.
    """

    def __init__(
        self,
        size: int = 224,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic",
        fit: Literal["stretch", "crop"] = "stretch",
    ) -> None:
        """`mean`, `std`: per channel, of values in 0..1. `fit`: `stretch` shows the whole picture
        at a changed aspect; `crop` keeps the aspect and cuts the longer side's ends off.
        ConfigError for values that do not fit.
        """
        if size < 1:
            raise ConfigError("image.size", str(size), expected="1 or more")
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ConfigError(
                "image.mean and image.std", f"{mean}, {std}", expected="three numbers, std > 0"
            )
        if interpolation not in ("nearest", "bilinear", "bicubic", "lanczos"):
            raise ConfigError("image.interpolation", interpolation, expected="bicubic …")
        if fit not in ("stretch", "crop"):
            raise ConfigError("image.fit", fit, expected="stretch or crop")
        self.size, self.interpolation, self.fit = size, interpolation, fit
        self.mean = np.asarray(mean, np.float32)
        self.std = np.asarray(std, np.float32)

    @property
    def normal(self) -> Normal:
        """What the encoder does to the pixels."""
        return Normal(self.mean, self.std)

    def __call__(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """uint8 [T, 3, size, size] from uint8 [T, H, W, 3]; DataError for another shape."""
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise DataError(
                "images", f"{images.dtype} {images.shape}", expected="uint8 [T, H, W, 3]"
            )
        pixels = np.empty((len(images), 3, self.size, self.size), np.uint8)
        for out, image in zip(pixels, images, strict=True):
            out[:] = self._resize(image).transpose(2, 0, 1)
        return pixels

    def made(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Nothing but the shape of what it makes of `images`."""
        return np.broadcast_to(np.uint8(0), (len(images), 3, self.size, self.size))

    def _resize(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        height, width = image.shape[:2]
        if self.fit == "stretch":
            return resize(image, self.size, self.size, interpolation=self.interpolation)
        short = min(height, width)
        # The longer side is cut down to a whole number of pixels, as torchvision does.
        height, width = self.size * height // short, self.size * width // short
        image = resize(image, height, width, interpolation=self.interpolation)
        top, left = round((height - self.size) / 2), round((width - self.size) / 2)
        return image[top : top + self.size, left : left + self.size]


def resize(
    image: npt.NDArray[np.uint8], height: int, width: int, *, interpolation: str = "bicubic"
) -> npt.NDArray[np.uint8]:
    """uint8 [H, W, 3] at another size, antialiased (PIL)."""
    from PIL import Image

    if image.shape[:2] == (height, width):
        return image
    how = Image.Resampling[interpolation.upper()]
    return np.asarray(Image.fromarray(image).resize((width, height), how))
