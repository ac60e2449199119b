"""Pictures as a tower cuts them, against transformers' own processors for Qwen-VL."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from affect_mllm.media.patches import PatchTransform
from affect_mllm.models.vlm.vision_tower import VisionTower
from affect_mllm.types import ConfigError, DataError, Patches

SIZES = [(64, 90), (333, 41), (28, 28), (20, 500), (700, 900)]


def noise(frames: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(height * width)
    return rng.integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def cut(transform: PatchTransform, *items: Patches) -> np.ndarray:
    """What the network of a tower with this transform is given of `items`, padded to one length."""
    size = (transform.temporal_patch_size, transform.patch_size, transform.patch_size)
    embed = SimpleNamespace(proj=torch.nn.Conv3d(3, 1, size))
    net = SimpleNamespace(spatial_merge_size=transform.merge_size, patch_embed=embed)
    tower = VisionTower(net, transform=transform)
    rows = [torch.from_numpy(item.values) for item in items]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=9)
    return tower.patches(padded, [item.grid for item in items]).numpy()


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("pixels", [(784, 20_000), (56 * 56, 28 * 28 * 1280)])
def test_an_image_is_what_the_image_processor_makes(height, width, pixels) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    images = noise(1, height, width)
    theirs = Qwen2VLImageProcessorPil(min_pixels=pixels[0], max_pixels=pixels[1])(
        images[0], return_tensors="np"
    )
    transform = PatchTransform(pixels=pixels)
    ours = transform(images)
    assert ours.values.dtype == np.uint8
    assert [list(ours.grid)] == theirs["image_grid_thw"].tolist()
    np.testing.assert_allclose(cut(transform, ours), theirs["pixel_values"], atol=2e-6)
    assert transform.grid(1, height, width) == ours.grid


def test_each_picture_of_a_batch_is_cut_by_its_own_size() -> None:
    transform = PatchTransform(pixels=(784, 20_000))
    items = [transform(noise(1, *size)) for size in SIZES]
    alone = np.concatenate([cut(transform, item) for item in items])
    assert np.array_equal(cut(transform, *items), alone)


@pytest.mark.parametrize("frames", [1, 4, 5])
def test_a_video_is_what_the_video_processor_makes(frames) -> None:
    """Torchvision resizes its frames, grey levels beside PIL; here no resizing is needed."""
    from transformers import Qwen2VLVideoProcessor

    images = noise(frames, 56, 84)
    processor = Qwen2VLVideoProcessor(min_pixels=784, max_pixels=20_000, do_sample_frames=False)
    theirs = processor(
        [torch.from_numpy(images).permute(0, 3, 1, 2)],
        return_tensors="pt",
        cap_pixels_per_frame=False,
    )
    transform = PatchTransform(pixels=(784, 20_000))
    ours = transform(images)
    assert [list(ours.grid)] == theirs["video_grid_thw"].tolist()
    expected = theirs["pixel_values_videos"].numpy()
    np.testing.assert_allclose(cut(transform, ours), expected, atol=2e-6)


def test_resizing_is_within_two_grey_levels_of_torchvisions() -> None:
    from transformers import Qwen2VLImageProcessor

    images = noise(1, 301, 417)
    theirs = Qwen2VLImageProcessor()(images[0], return_tensors="np")["pixel_values"]
    difference = np.abs(cut(PatchTransform(), PatchTransform()(images)) - theirs)
    assert difference.max() <= 2.01 / 255 / 0.261


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(DataError, match="uint8"):
        PatchTransform()(np.zeros((1, 3, 8, 8), np.uint8))
    with pytest.raises(DataError, match="200:1"):
        PatchTransform()(noise(1, 1, 300))
    with pytest.raises(ConfigError, match="fewest"):
        PatchTransform(pixels=(10, 5))
