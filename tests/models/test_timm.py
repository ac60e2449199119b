"""Image models of timm: the real weights, frame by frame, cell by cell."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from affect_mllm.media.image import ImageTransform
from affect_mllm.models.encoders.timm import TimmEncoder
from affect_mllm.models.tiny.sizes import TIMM
from affect_mllm.types import CheckpointError, ConfigError
from tests import tiny_encoders

SIZE = 96  # the last map is 3 × 3


@pytest.fixture(scope="module")
def encoder(tiny) -> TimmEncoder:
    return TimmEncoder(str(tiny.root / "vision"), transform=ImageTransform(SIZE), grid=3)


def frames(items: int, count: int) -> torch.Tensor:
    torch.manual_seed(count)
    return torch.randn(items, count, 3, SIZE, SIZE)


@torch.no_grad()
def test_states_are_the_models_own_cells_row_by_row(encoder: TimmEncoder, tiny) -> None:
    import timm

    net = timm.create_model("test_efficientnet", num_classes=3).eval()
    net.load_state_dict(load_file(tiny.root / "vision/model.safetensors"))
    values = frames(1, 2)
    got = encoder(values, torch.ones(1, 2, dtype=torch.bool)).values
    maps = net.forward_features(values[0])  # [2, D, 3, 3]
    assert got.shape == (1, 18, encoder.hidden_size)
    torch.testing.assert_close(got[0, 9 + 3 * 1 + 2], maps[1, :, 1, 2])


@torch.no_grad()
def test_a_masked_frame_is_not_seen(encoder: TimmEncoder) -> None:
    values, mask = frames(2, 3), torch.tensor([[True, True, False], [True, True, True]])
    values[0, 2] = torch.nan
    got = encoder(values, mask)
    assert got.mask.sum(1).tolist() == [18, 27]
    assert not got.values[0, 18:].any()
    alone = encoder(values[:1, :2], mask[:1, :2])
    torch.testing.assert_close(got.values[0, :18], alone.values[0])


def test_frozen_means_batch_norm_does_not_move(encoder: TimmEncoder) -> None:
    before = encoder.fingerprint()
    encoder.train()
    with torch.no_grad():
        encoder(frames(1, 4), torch.ones(1, 4, dtype=torch.bool))
    assert encoder.fingerprint() == before
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_the_fingerprint_tells_weights_grid_and_preprocessing(encoder: TimmEncoder, tiny) -> None:
    folder = str(tiny.root / "vision")

    def made(size: int = SIZE, grid: int = 3) -> TimmEncoder:
        return TimmEncoder(folder, transform=ImageTransform(size), grid=grid)

    changed = made()
    with torch.no_grad():
        next(changed.parameters()).mul_(1.001)
    prints = {m.fingerprint() for m in (encoder, made(), changed, made(size=64), made(grid=2))}
    assert made().fingerprint() == encoder.fingerprint()
    assert len(prints) == 4


def test_a_folder_without_weights_or_with_others_is_refused(tiny, tmp_path) -> None:
    with pytest.raises(CheckpointError, match="timm folder"):
        TimmEncoder(str(tmp_path), transform=ImageTransform(SIZE))
    shutil.copy(tiny.root / "vision/config.json", tmp_path)
    save_file({"strange.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"strange\.weight"):
        TimmEncoder(str(tmp_path), transform=ImageTransform(SIZE))
    (tmp_path / "config.json").write_text(json.dumps({"num_classes": 3}))
    with pytest.raises(CheckpointError, match="architecture"):
        TimmEncoder(str(tmp_path), transform=ImageTransform(SIZE))


def test_the_transform_gives_what_the_encoder_reads(encoder: TimmEncoder) -> None:
    images = np.zeros((2, 48, 64, 3), np.uint8)
    assert encoder.transform(images).shape == (2, 3, SIZE, SIZE)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("timm")


def of_kind(root, name: str, size: int, **options) -> TimmEncoder:
    folder = tiny_encoders.folder(root, name)
    return TimmEncoder(str(folder), transform=ImageTransform(size), **options)


@torch.no_grad()
@pytest.mark.parametrize(("name", "size"), [("vit", 32), ("eva", 28), ("swin", 32)])
def test_tokens_and_channels_last_become_the_same_cells(root, name: str, size: int) -> None:
    """Rows of patches, whichever layout the model has: a class token and NHWC are no cells."""
    model = of_kind(root, name, size, grid=2)
    values = torch.randn(1, 2, 3, size, size)
    got = model(values, torch.ones(1, 2, dtype=torch.bool))
    maps = model.net.forward_intermediates(
        values[0], indices=1, norm=name != "swin", intermediates_only=True
    )[-1]  # timm's own [2, D, h, w]
    if name == "swin":  # forward_features adds the last norm
        maps = model.net.norm(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    cells = torch.nn.functional.adaptive_avg_pool2d(maps, 2).flatten(2).transpose(1, 2)
    torch.testing.assert_close(got.values[0], cells.flatten(0, 1))
    assert got.values.shape == (1, 8, model.hidden_size)


@torch.no_grad()
def test_one_pooled_state_a_frame_and_the_mean_of_stages(root) -> None:
    values, mask = torch.randn(1, 3, 3, 28, 28), torch.tensor([[True, True, False]])
    pooled = of_kind(root, "eva", 28, output="pooled")
    features = pooled.net.forward_features(values[0, :2])
    expected = pooled.net.forward_head(features, pre_logits=True)
    got = pooled(values, mask)
    torch.testing.assert_close(got.values[0, :2], expected)
    assert torch.equal(got.mask, mask)
    model = of_kind(root, "eva", 28, grid=2, layers=[0, 1])
    stages = model.net.forward_intermediates(
        values[0, :2], indices=[0, 1], norm=True, intermediates_only=True
    )
    mean = (stages[0] + stages[1]) / 2  # 2 × 2 patches of 14
    torch.testing.assert_close(
        model(values, mask).values[0, :8], mean.flatten(2).transpose(1, 2).flatten(0, 1)
    )


def test_layers_that_are_not_there_or_differ_in_shape_are_refused(root) -> None:
    with pytest.raises(ConfigError, match="one shape"):
        of_kind(root, "efficientnet", 64, layers=[-2, -1])
    with pytest.raises(ConfigError, match="stages of"):
        of_kind(root, "efficientnet", 64, layers=[40])
    with pytest.raises(ConfigError, match="output: pooled"):
        of_kind(root, "eva", 28, output="pooled", layers=[0])
    with pytest.raises(ConfigError, match="plain, without layers"):
        of_kind(root, "eva", 28, norm="plain")


@torch.no_grad()
@pytest.mark.parametrize("layers", [(), (0,), (0, 1)])
def test_the_class_token_stands_before_its_frames_cells(root, layers) -> None:
    values, mask = torch.randn(1, 3, 3, 28, 28), torch.tensor([[True, True, False]])
    model = of_kind(root, "eva", 28, output="tokens", grid=2, layers=layers)
    got = model(values, mask)
    stages = model.net.forward_intermediates(
        values[0, :2],
        indices=list(layers) or [1],  # of two
        norm=True,
        intermediates_only=True,
        return_prefix_tokens=True,
    )
    maps = torch.stack([stage for stage, _ in stages]).mean(0)  # 2 × 2 patches of 14
    classes = torch.stack([prefix for _, prefix in stages]).mean(0)
    expected = torch.cat([classes, maps.flatten(2).transpose(1, 2)], 1)
    torch.testing.assert_close(got.values[0, :10], expected.flatten(0, 1))
    assert got.mask.sum() == 10
    assert model.state_count()(values[0, :2].numpy()) == 10
    with pytest.raises(ConfigError, match="no class token"):
        of_kind(root, "efficientnet", 64, output="tokens")


@torch.no_grad()
def test_larger_pictures_get_interpolated_positions_as_timms_own_loading_has_them(root) -> None:
    import timm
    from timm.models.eva import checkpoint_filter_fn

    model = of_kind(root, "eva", 56, grid=4, image_size=56)
    name, options = TIMM["eva"]
    net = timm.create_model(name, num_classes=3, **{**options, "img_size": 56}).eval()
    weights = load_file(tiny_encoders.folder(root, "eva") / "model.safetensors")
    net.load_state_dict(checkpoint_filter_fn(weights, net))
    values = torch.randn(1, 1, 3, 56, 56)
    features = net.forward_features(values[0])[:, 1:]
    got = model(values, torch.ones(1, 1, dtype=torch.bool)).values
    torch.testing.assert_close(got, features)
    assert got.shape == (1, 16, model.hidden_size)
    with pytest.raises(ConfigError, match="image_size"):
        of_kind(root, "efficientnet", 64, image_size=64)
