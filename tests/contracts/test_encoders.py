"""What every encoder of conf/encoder owes, at tiny size; a new YAML is picked up by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from affect_mllm import config
from affect_mllm.models.encoders.base import Encoder
from affect_mllm.models.pretrained import weightless
from affect_mllm.tools.shapes import RealMasks
from affect_mllm.types import DataError
from tests import tiny_experiments
from tests.tiny import Tiny
from tests.variants import names, variant

ENCODERS = names("encoder")


def media(seed: int, longer: bool) -> list[np.ndarray]:
    """A sound, pictures and extracted features; a transform refuses what is not its own."""
    rng = np.random.default_rng(seed)
    sound = rng.standard_normal(5000 + 1733 * longer).astype(np.float32) * 0.1
    pictures = rng.integers(0, 256, (2 + longer, 40, 48, 3)).astype(np.uint8)
    return [sound, pictures, rng.standard_normal((3 + longer, 48)).astype(np.float32)]


def read(encoder: Encoder, seed: int, *, longer: bool = False) -> np.ndarray:
    """What the encoder's own transform makes of the medium that it takes."""
    for medium in media(seed, longer):
        try:
            return encoder.transform(medium)
        except DataError:
            continue
    raise AssertionError("the transform takes neither sound nor pictures nor features")


def build(tiny: Tiny, name: str) -> Encoder:
    cfg: Any = OmegaConf.create(variant("encoder", name))
    tiny_experiments.shrink(tiny, cfg)
    config.check(cfg)
    torch.manual_seed(0)
    return config.build(cfg).eval()


@pytest.fixture(scope="module", params=ENCODERS)
def encoder(request, tiny: Tiny) -> Encoder:
    return build(tiny, request.param)


def batch(*arrays: np.ndarray, filler: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, arrays))
    wire = torch.from_numpy(arrays[0]).dtype
    values = torch.full((len(arrays), longest, *arrays[0].shape[1:]), filler).to(wire)
    mask = torch.zeros(len(arrays), longest, dtype=torch.bool)
    for row, array in enumerate(arrays):
        values[row, : len(array)] = torch.from_numpy(array)
        mask[row, : len(array)] = True
    return values, mask


@torch.no_grad()
def test_states_have_the_width_and_the_number_that_the_encoder_says(encoder: Encoder) -> None:
    for longer in (False, True):
        array = read(encoder, 1, longer=longer)
        values, mask, _ = encoder(*batch(array))
        assert values.shape == (*mask.shape, encoder.hidden_size)
        assert mask.dtype == torch.bool
        assert int(mask.sum()) == encoder.state_count()(array)
        assert torch.isfinite(values).all()


@torch.no_grad()
def test_an_item_depends_neither_on_its_batch_nor_on_padding(encoder: Encoder) -> None:
    short, long = read(encoder, 1), read(encoder, 2, longer=True)
    values, mask, _ = encoder(*batch(short))
    alone = values[0][mask[0]]
    for filler in (0.0, 7.0):
        given = batch(short, long, filler=filler)
        values, mask, _ = encoder(*given)
        known = encoder.state_mask(given[1])
        assert known is None or torch.equal(known, mask)
        torch.testing.assert_close(values[0][mask[0]], alone, rtol=1e-5, atol=1e-5)
        assert not values[0][~mask[0]].any(), "masked states are zeros"
    assert not torch.allclose(values[1][mask[1]][: len(alone)], alone)


@torch.no_grad()
def test_what_is_seen_or_heard_changes_the_states(encoder: Encoder) -> None:
    one, two = (encoder(*batch(read(encoder, seed))).values for seed in (1, 3))
    assert one.shape == two.shape
    assert not torch.allclose(one, two, atol=1e-4)


def test_a_frozen_encoder_is_the_same_in_training_and_a_free_one_learns(encoder: Encoder) -> None:
    given = batch(read(encoder, 1))
    encoder.train()
    try:
        first, second = (encoder(*given).values for _ in range(2))
        learns = [p for p in encoder.parameters() if p.requires_grad]
        if encoder.frozen:
            assert torch.equal(first, second)
            assert not learns
            assert not first.requires_grad
        else:
            first.pow(2).sum().backward()
            assert learns
            assert all(p.grad is not None for p in learns)
    finally:
        encoder.eval()


def test_the_fingerprint_is_that_of_the_same_build_only(encoder: Encoder, tiny, request) -> None:
    again = build(tiny, request.node.callspec.params["encoder"])
    assert again.fingerprint() == encoder.fingerprint()
    learnt = [*encoder.parameters()]
    if learnt:
        with torch.no_grad():
            learnt[0].mul_(1.5).add_(0.1)
        assert again.fingerprint() != encoder.fingerprint()
        encoder.load_state_dict(again.state_dict())


@torch.no_grad()
def test_weights_held_in_bf16_give_what_autocast_gives(
    tiny: Tiny, encoder: Encoder, request
) -> None:
    held = build(tiny, request.node.callspec.params["encoder"])
    before, given = held.fingerprint(), batch(read(encoder, 1))
    held.hold_in(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        expected, got = encoder.eval()(*given).values, held.eval()(*given).values
    assert torch.equal(got, expected)
    assert held.fingerprint() == before
    halves = [p for p in held.parameters() if p.dtype == torch.bfloat16]
    assert bool(halves) == (held.frozen and any(True for _ in held.parameters()))


@torch.no_grad()
def test_its_states_have_a_shape_without_its_weights(tiny: Tiny, encoder: Encoder, request) -> None:
    """So that `estimate` can count it."""
    values, mask = batch(read(encoder, 1), read(encoder, 2, longer=True))
    expected = encoder(values, mask)
    with torch.device("meta"), weightless():
        shadow = build(tiny, request.node.callspec.params["encoder"])
    with RealMasks():
        found = shadow(values.to("meta"), mask)
    assert found.values.shape == expected.values.shape
    assert found.values.is_meta or not list(encoder.parameters())
