"""AffectGPT's pre-fusion, recomputed from its formula."""

from __future__ import annotations

import pytest
import torch

from affect_mllm.models.fusion.attention import AttentionFusion

SIZES = {"visual": 5, "audio": 3}


def fusion(**options) -> AttentionFusion:
    torch.manual_seed(0)
    return AttentionFusion(SIZES, hidden_size=4, **options).double()


def means(items: int = 3) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(items, size, dtype=torch.float64) for size in SIZES.values()]


def linear(layer: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    assert isinstance(layer, torch.nn.Linear)
    return torch.einsum("oi,bi->bo", layer.weight, x) + layer.bias


@pytest.mark.parametrize("normalize", ["none", "softmax"])
def test_it_is_the_published_formula(normalize: str) -> None:
    module, (visual, audio) = fusion(normalize=normalize), means()
    h_v, h_a = linear(module.embed["visual"], visual), linear(module.embed["audio"], audio)
    w = linear(module.weights, linear(module.attention, torch.cat([h_v, h_a], 1)))
    if normalize == "softmax":
        w = w.exp() / w.exp().sum(1, keepdim=True)
    expected = (w[:, :1] * h_v + w[:, 1:] * h_a).unsqueeze(1)
    got = module([visual, audio], torch.ones(3, 2, dtype=torch.bool))
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("normalize", ["none", "softmax"])
def test_an_absent_stream_adds_nothing_whatever_stands_there(normalize: str) -> None:
    module, (visual, audio) = fusion(normalize=normalize), means()
    present = torch.tensor([[True, False], [True, True], [True, False]])
    got = module([visual, audio], present)
    noise = torch.where(present[:, 1:], audio, torch.full_like(audio, 1e6))
    torch.testing.assert_close(module([visual, noise], present), got)
    h_v = linear(module.embed["visual"], visual)
    if normalize == "softmax":
        torch.testing.assert_close(got[0, 0], h_v[0])  # the only stream has all the weight
    zeros = torch.zeros(3, 4, dtype=torch.float64)
    w = linear(module.weights, linear(module.attention, torch.cat([h_v, zeros], 1)))
    if normalize == "none":
        torch.testing.assert_close(got[2, 0], w[2, 0] * h_v[2])
    # an absent stream is not one whose states are zero
    both = module([visual, torch.zeros_like(audio)], torch.ones(3, 2, dtype=torch.bool))
    assert not torch.allclose(both[0], got[0])


def test_each_sample_is_fused_on_its_own() -> None:
    module, values = fusion(normalize="softmax", input_norm=True), means()
    present = torch.tensor([[True, False], [True, True], [False, True]])
    together = module(values, present)
    for i in range(3):
        alone = module([value[i : i + 1] for value in values], present[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone)
