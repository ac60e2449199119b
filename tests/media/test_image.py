"""The image transform, and what encoders make of its pixels, against torchvision's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from affect_mllm.media.image import ImageTransform
from affect_mllm.models.encoders.pixels import normalised
from affect_mllm.types import ConfigError, DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 90, 160, 3), np.uint8)
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


@pytest.mark.parametrize("fit", ["stretch", "crop"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [64, 224])
def test_equals_torchvision(fit, interpolation, size):
    from PIL import Image
    from torchvision import transforms

    how = transforms.InterpolationMode(interpolation)
    steps = [transforms.Resize((size, size) if fit == "stretch" else size, how)]
    if fit == "crop":
        steps.append(transforms.CenterCrop(size))
    steps += [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    reference = transforms.Compose(steps)
    transform = ImageTransform(size, MEAN, STD, interpolation, fit)
    got = transform(IMAGES)
    assert got.dtype == np.uint8
    wanted = np.stack([reference(Image.fromarray(image)).numpy() for image in IMAGES])
    read = normalised(torch.from_numpy(got), transform.normal)
    np.testing.assert_allclose(read.numpy(), wanted, atol=1e-5)


def test_pixels_are_normalised_bit_for_bit_as_numpy_does():
    transform = ImageTransform(8, MEAN, STD)
    every = np.tile(np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16), (2, 3, 1, 1))
    mean, std = (np.asarray(each, np.float32).reshape(3, 1, 1) for each in (MEAN, STD))
    wanted = (every.astype(np.float32) / 255 - mean) / std
    assert np.array_equal(normalised(torch.from_numpy(every), transform.normal).numpy(), wanted)


def test_portrait_crop_keeps_the_middle():
    image = np.zeros((1, 90, 30, 3), np.uint8)
    image[:, 30:60] = 255
    out = ImageTransform(30, (0, 0, 0), (1, 1, 1), fit="crop")(image)
    assert out[0].mean() > 0.95 * 255


def test_wrong_values_are_named():
    with pytest.raises(ConfigError, match="std > 0"):
        ImageTransform(std=(1, 0, 1))
    with pytest.raises(ConfigError, match="stretch or crop"):
        ImageTransform(fit="pad")  # pyright: ignore
    with pytest.raises(DataError, match="uint8"):
        ImageTransform()(np.zeros((2, 3, 8, 8), np.float32))  # pyright: ignore
