"""Vision transformers: transformers' own states, whichever output is asked for, frame by frame."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from affect_mllm.media.image import ImageTransform
from affect_mllm.models.encoders.hf_vision import HFVisionEncoder
from affect_mllm.types import CheckpointError, ConfigError
from tests import tiny_encoders

SIZE = 32  # 4 × 4 patches


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("vision")


def encoder(root: Path, name: str, **options) -> HFVisionEncoder:
    folder = tiny_encoders.folder(root, name)
    return HFVisionEncoder(str(folder), transform=ImageTransform(SIZE), **options)


def theirs(root: Path, name: str):
    return AutoModel.from_pretrained(tiny_encoders.folder(root, name)).eval()


def frames(items: int = 1, count: int = 2, size: int = SIZE) -> torch.Tensor:
    torch.manual_seed(count)
    return torch.randn(items, count, 3, size, size)


def states(model: HFVisionEncoder, values: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(values, torch.ones(values.shape[:2], dtype=torch.bool)).values


@torch.no_grad()
def hidden(model, values: torch.Tensor) -> tuple[torch.Tensor, ...]:
    vision = dict(model.named_children()).get("vision_model", model)
    return vision(pixel_values=values, output_hidden_states=True).hidden_states


@pytest.mark.parametrize(
    ("name", "prefix"), [("clip", 1), ("siglip", 0), ("dinov2", 1), ("dinov2_registers", 5)]
)
def test_patch_cells_are_the_means_of_the_models_patches(root, name: str, prefix: int) -> None:
    values = frames()
    got = states(encoder(root, name, grid=2, layers=[-2, -1]), values)
    expected = torch.stack(hidden(theirs(root, name), values[0])[-2:]).mean(0)[:, prefix:]
    assert expected.shape[1] == 16
    assert got.shape == (1, 8, 24)
    cells = expected.unflatten(1, (4, 4))
    by_hand = torch.stack(
        [cells[:, y : y + 2, x : x + 2].mean((1, 2)) for y in (0, 2) for x in (0, 2)], 1
    )
    torch.testing.assert_close(got[0], by_hand.flatten(0, 1), rtol=0, atol=1e-6)


def test_projected_is_clips_image_embedding(root) -> None:
    values, model = frames(), encoder(root, "clip", output="projected")
    with torch.no_grad():
        expected = theirs(root, "clip").get_image_features(pixel_values=values[0]).pooler_output
    assert model.hidden_size == 20
    torch.testing.assert_close(states(model, values)[0], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["clip", "siglip", "dinov2"])
def test_pooled_is_what_the_models_head_makes(root, name: str) -> None:
    values, model = frames(), theirs(root, name)
    vision = dict(model.named_children()).get("vision_model", model)
    with torch.no_grad():
        expected = vision(pixel_values=values[0]).pooler_output
    got = states(encoder(root, name, output="pooled"), values)
    torch.testing.assert_close(got[0], expected, rtol=0, atol=1e-6)


def test_the_class_token_of_chosen_layers(root) -> None:
    values = frames()
    got = states(encoder(root, "dinov2", output="cls", layers=[1, 3]), values)
    one, three = (hidden(theirs(root, "dinov2"), values[0])[i][:, 0] for i in (1, 3))
    torch.testing.assert_close(got[0], (one + three) / 2, rtol=0, atol=1e-6)


@pytest.mark.parametrize("output", ["patches", "cls", "pooled", "projected"])
def test_a_masked_frame_and_the_neighbours_are_not_seen(root, output: str) -> None:
    model = encoder(root, "clip", output=output)
    values, mask = frames(2, 3), torch.tensor([[True, True, False], [True, True, True]])
    values[0, 2] = torch.nan
    with torch.no_grad():
        got = model(values, mask)
    alone = states(model, values[:1, :2])
    each = alone.shape[1] // 2
    assert got.mask.sum(1).tolist() == [2 * each, 3 * each]
    torch.testing.assert_close(got.values[0, : 2 * each], alone[0], rtol=0, atol=1e-6)
    assert not got.values[0, 2 * each :].any()


def test_a_picture_of_another_size_says_which_it_must_be(root) -> None:
    for name in ("clip", "siglip"):
        with pytest.raises(ConfigError, match=r"transform\.size: 40[\s\S]*expected: 32"):
            states(encoder(root, name), frames(size=40))
    assert states(encoder(root, "dinov2", grid=5), frames(size=40)).shape == (1, 50, 24)


def test_what_a_model_does_not_have_is_refused(root) -> None:
    for name in ("siglip", "dinov2"):
        with pytest.raises(ConfigError, match="no visual projection"):
            encoder(root, name, output="projected")
    with pytest.raises(ConfigError, match="no class token"):
        states(encoder(root, "siglip", output="cls"), frames())
    with pytest.raises(ConfigError, match=r"encoder\.layers: \[7\]"):
        states(encoder(root, "clip", layers=[7]), frames())


def test_only_safetensors_are_loaded(root, tmp_path) -> None:
    model = theirs(root, "dinov2")
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="a vision model"):
        HFVisionEncoder(str(tmp_path), transform=ImageTransform(SIZE))


def test_a_trainable_encoder_trains_and_a_frozen_one_does_not(root) -> None:
    free, frozen = (encoder(root, "clip", frozen=kind).train() for kind in (False, True))
    assert free.training
    assert not frozen.training
    values = frames()
    mask = torch.ones(values.shape[:2], dtype=torch.bool)
    assert free(values, mask).values.requires_grad
    assert not frozen(values, mask).values.requires_grad
    assert len({free.fingerprint(), encoder(root, "clip", output="cls").fingerprint()}) == 2
