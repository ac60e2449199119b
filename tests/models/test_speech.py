"""Speech encoders: transformers' own states of each clip, whatever stands beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from affect_mllm.media.waveform import Waveform, WaveformWindows
from affect_mllm.models.encoders.hubert import SpeechEncoder
from affect_mllm.types import CheckpointError, ConfigError, DataError
from tests import tiny_encoders

FAMILIES = ["hubert", "hubert_base", "wavlm", "wav2vec2", "data2vec"]
LENGTHS = [4000, 6543, 2500]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("speech")


def encoder(root: Path, name: str, **options) -> SpeechEncoder:
    folder = tiny_encoders.folder(root, name)
    return SpeechEncoder(str(folder), transform=Waveform(), **options)


def sounds() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(length) * (1 + i) for i, length in enumerate(LENGTHS)]


def padded(clips: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, clips))
    values = torch.full((len(clips), longest), 9.0)
    for row, clip in zip(values, clips, strict=True):
        row[: len(clip)] = clip
    return values, torch.arange(longest) < torch.tensor([[len(clip)] for clip in clips])


@torch.no_grad()
def theirs(root: Path, name: str, clip: torch.Tensor, layers: list[int]) -> torch.Tensor:
    net = AutoModel.from_pretrained(tiny_encoders.folder(root, name)).eval()
    output = net(clip[None], output_hidden_states=True)
    hidden = (*output.hidden_states[:-1], output.last_hidden_state)
    return torch.stack([hidden[layer][0] for layer in layers]).mean(0)


@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_each_clips_states_are_those_of_the_model_on_it_alone(root, name: str) -> None:
    layers = [-4, -3, -2, -1]
    model = encoder(root, name, layers=layers)
    got = model(*padded(sounds()))
    for i, clip in enumerate(sounds()):
        expected = theirs(root, name, clip, layers)
        assert got.mask[i].sum() == len(expected)
        torch.testing.assert_close(got.values[i, : len(expected)], expected, rtol=0, atol=1e-5)
        assert not got.values[i, len(expected) :].any()


@torch.no_grad()
def test_windows_pooled_over_time_as_affectgpt_hears_them(root) -> None:
    model = encoder(root, "hubert", layers=[-2, -1], pool="mean")
    windows = torch.randn(2, 3, 2000)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    got = model(windows, mask)
    assert got.values.shape == (2, 3, 32)
    assert torch.equal(got.mask, mask)
    for i, j in mask.nonzero().tolist():
        expected = theirs(root, "hubert", windows[i, j], [-2, -1]).mean(0)
        torch.testing.assert_close(got.values[i, j], expected, rtol=0, atol=1e-5)
    assert not got.values[1, 1:].any()


@torch.no_grad()
def test_windows_can_keep_their_states_and_a_clip_can_be_one(root) -> None:
    windows, all_real = torch.randn(1, 2, 2000), torch.ones(1, 2, dtype=torch.bool)
    kept = encoder(root, "wavlm")(windows, all_real)
    each = theirs(root, "wavlm", windows[0, 1], [-1])
    torch.testing.assert_close(kept.values[0, len(each) :], each, rtol=0, atol=1e-5)
    (pooled, mask, _) = encoder(root, "wavlm", pool="mean")(*padded(sounds()))
    assert mask.all()
    expected = theirs(root, "wavlm", sounds()[2], [-1]).mean(0)
    torch.testing.assert_close(pooled[2, 0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_training_mode_adds_no_chance_to_a_frozen_encoder(root, name: str) -> None:
    model = encoder(root, name).train()
    one, two = (model(*padded(sounds())).values for _ in range(2))
    assert torch.equal(one, two)
    assert not one.requires_grad
    assert model.net.config.layerdrop == 0
    assert not model.net.config.apply_spec_augment


def test_a_trainable_encoder_has_gradients(root) -> None:
    model = encoder(root, "hubert", frozen=False).train()
    model(*padded(sounds())).values.sum().backward()
    assert all(p.grad is not None for p in model.net.encoder.parameters())


def test_a_bin_file_is_read_only_when_it_is_allowed(root, tmp_path) -> None:
    source = AutoModel.from_pretrained(tiny_encoders.folder(root, "wav2vec2"))
    source.config.save_pretrained(tmp_path)
    torch.save(source.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="wav2vec"):
        SpeechEncoder(str(tmp_path), transform=Waveform())
    allowed = SpeechEncoder(str(tmp_path), transform=Waveform(), allow_bin=True)
    with torch.no_grad():
        got = allowed(*padded(sounds()[:1])).values[0]
    torch.testing.assert_close(got, theirs(root, "wav2vec2", sounds()[0], [-1]), rtol=0, atol=1e-5)


def test_another_kind_of_model_and_a_sound_that_is_too_short_are_refused(root) -> None:
    with pytest.raises(ConfigError, match=r"encoder\.model: dinov2"):
        encoder(root, "dinov2")
    with pytest.raises(DataError, match="8 samples"):
        encoder(root, "hubert")(torch.randn(1, 8), torch.ones(1, 8, dtype=torch.bool))


def test_loudness_of_a_neighbour_does_not_reach_a_clip(root) -> None:
    """The normalisation that AffectGPT's code did over a whole batch."""
    quiet = np.random.default_rng(0).standard_normal(9000).astype(np.float32) * 0.01
    model, spread = encoder(root, "hubert"), WaveformWindows(windows=2, duration_s=0.25)
    assert spread(quiet).std(1) == pytest.approx([1, 1], abs=1e-3)
    both = torch.from_numpy(np.stack([spread(quiet), spread(quiet * 50)]))
    with torch.no_grad():
        got = model(both, torch.ones(2, 2, dtype=torch.bool)).values
    torch.testing.assert_close(got[0], got[1], rtol=0, atol=1e-3)
