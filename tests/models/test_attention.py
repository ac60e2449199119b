"""Attention without masks equals SDPA with the block-causal mask, and refuses what it cannot do."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from affect_mllm.models.llm import attention
from affect_mllm.models.llm.attention import Blocked, Borders, blocked_attention, choose
from affect_mllm.models.llm.language_model import block_causal_mask
from affect_mllm.models.llm.prompt import Prompt
from affect_mllm.types import ConfigError

LENGTHS = (5, 1, 140, 33)  # the third is more than one block of queries
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


def inputs(heads: int = 6, key_heads: int = 2) -> list[torch.Tensor]:
    torch.manual_seed(0)
    total = sum(LENGTHS)
    shapes = ((heads, total, 8), (key_heads, total, 8), (key_heads, total, 8))
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def segments() -> torch.Tensor:
    return torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))


@pytest.mark.parametrize("keep", [1024, 100, 0])
def test_values_and_gradients_are_those_of_sdpa_with_a_block_causal_mask(keep, monkeypatch) -> None:
    monkeypatch.setattr(attention, "KEEP_UP_TO", keep)
    query, key, value = inputs()
    starts = Borders.of(segments()).starts.tolist()
    got = Blocked.apply(query, key, value, starts, 0.3)
    mask = block_causal_mask(segments()[None])[0]
    expected = scaled_dot_product_attention(
        query[None], key[None], value[None], attn_mask=mask, scale=0.3, enable_gqa=True
    )[0]
    torch.testing.assert_close(got, expected)
    upstream = torch.randn_like(got)
    ours = torch.autograd.grad(got, (query, key, value), upstream)
    for one, two in zip(
        ours, torch.autograd.grad(expected, (query, key, value), upstream), strict=True
    ):
        torch.testing.assert_close(one, two)


def test_borders_of_neighbours() -> None:
    borders = Borders.of(torch.tensor([4, 4, 4, 0, 2, 2]))
    assert borders.starts.tolist() == [0, 3, 4, 6]
    assert borders.lengths == (3, 1, 2)
    assert borders.longest == 3
    assert Borders.of(torch.tensor([7])).starts.tolist() == [0, 1]


@pytest.mark.parametrize("row_tokens", [0, 600])
def test_a_model_gives_the_same_states_and_gradients_as_with_a_mask(tiny, row_tokens) -> None:
    from affect_mllm.data.collate import collate
    from tests.tiny import examples

    found = []
    for name in ("blocked", "sdpa"):
        model = tiny.model(name)
        made = examples(tiny, model, (("face", "text"), ("audio",), ("text",)))
        batch = collate(made, pad_id=0, row_tokens=row_tokens)
        embeds = model.llm.embed(batch.input_ids).requires_grad_()
        states = model.llm.hidden_states(embeds, batch.segments, batch.position_ids)
        real = batch.segments >= 0
        (grad,) = torch.autograd.grad(states[real].square().sum(), embeds)
        found.append((states[real], grad[real]))
        assert row_tokens or not states[~real].any() or name == "sdpa"
    torch.testing.assert_close(*(states for states, _ in found), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(*(grad for _, grad in found), rtol=1e-3, atol=1e-3)


def test_one_example_does_not_see_another(tiny) -> None:
    llm = tiny.model("blocked").llm
    ids = torch.arange(20)[None] + 5
    segment = torch.tensor([[0] * 12 + [1] * 8])
    places = torch.cat([torch.arange(12), torch.arange(8)])[None]
    before = llm.hidden_states(llm.embed(ids), segment, places)
    changed = ids.clone()
    changed[0, :12] += 7
    after = llm.hidden_states(llm.embed(changed), segment, places)
    torch.testing.assert_close(after[0, 12:], before[0, 12:], rtol=0, atol=0)
    assert not torch.allclose(after[0, :12], before[0, :12])
    alone = llm.hidden_states(llm.embed(ids[:, 12:]), segment[:, 12:], places[:, 12:])
    torch.testing.assert_close(alone[0], before[0, 12:])


def test_generation_is_the_same_with_its_mask_and_cache(tiny) -> None:
    answers = []
    for name in ("blocked", "sdpa"):
        llm = tiny.model(name).llm
        real = torch.ones(2, 9, dtype=torch.bool)
        real[1, 6:] = False
        embeds = llm.embed(torch.arange(18).view(2, 9) + 5)
        places = torch.arange(9).expand(2, 9)
        prompt = Prompt(embeds, places, real).padded_left()
        answers.append(llm.answers(prompt, max_new_tokens=6))
    assert answers[0] == answers[1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_without_cuda_flash_attention_is_refused_and_auto_takes_what_runs() -> None:
    with pytest.raises(ConfigError, match=r"no CUDA device(.|\n)*blocked"):
        choose("flash_attention_2")
    assert choose("auto") == "blocked"
    assert choose("sdpa") == "sdpa"


def test_a_missing_package_is_named(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(attention.importlib.util, "find_spec", lambda name: None)
    assert choose("auto") == "sdpa"
    with pytest.raises(ConfigError, match=r"flash-attn is not installed(.|\n)*pip install"):
        choose("flash_attention_2")


def test_a_window_shorter_than_an_example_is_refused() -> None:
    query, key, value = (each[None] for each in inputs())
    borders = Borders.of(segments())
    arguments = {**borders.arguments(), "sliding_window": 139, "scaling": 0.3}
    with pytest.raises(ConfigError, match="window of 139"):
        blocked_attention(torch.nn.Identity(), query, key, value, None, **arguments)
    arguments["sliding_window"] = 140
    mixed, _ = blocked_attention(torch.nn.Identity(), query, key, value, None, **arguments)
    assert mixed.shape == (1, sum(LENGTHS), 6, 8)
