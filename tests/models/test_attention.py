"""Attention without masks equals SDPA with the block-causal mask, and refuses what it cannot do."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from affect_mllm.borders import Borders
from affect_mllm.models.llm import attention, blocked
from affect_mllm.models.llm.attention import FUSED, arguments, attend, choose, fused_lacks
from affect_mllm.models.llm.blocked import Blocked, Rule
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


def seen(rule: Rule) -> torch.Tensor:
    """`[T, T]`, true where a query looks, cell by cell."""
    owner = segments().tolist()

    def looks(query: int, key: int) -> bool:
        behind = query - key
        near = rule.window is None or behind < rule.window
        return owner[query] == owner[key] and near and not (rule.causal and behind < 0)

    every = range(len(owner))
    return torch.tensor([[looks(query, key) for key in every] for query in every])


RULES = (Rule(0.3), Rule(0.3, causal=False), Rule(0.3, window=9), Rule(0.3, window=130))


@pytest.mark.parametrize("keep", [1024, 100, 0])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_values_and_gradients_are_those_of_sdpa_with_a_mask(keep, rule: Rule, monkeypatch) -> None:
    monkeypatch.setattr(blocked, "KEEP_UP_TO", keep)
    query, key, value = inputs()
    got = Blocked.apply(query, key, value, Borders.between(LENGTHS).cuts, rule)
    mask = seen(rule)
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


@pytest.mark.parametrize("rule", RULES[:3], ids=str)
def test_gradients_are_the_differences_of_values(rule: Rule) -> None:
    few = [each.detach()[:, :12].requires_grad_() for each in inputs(2, 1)]
    assert torch.autograd.gradcheck(lambda *given: Blocked.apply(*given, [0, 5, 12], rule), few)


def test_borders_of_neighbours() -> None:
    borders = Borders.of(torch.tensor([[4, 4, 4, 0, 2, 2]]))
    assert borders.starts.tolist() == borders.cuts == [0, 3, 4, 6]
    assert borders.lengths == (3, 1, 2)
    assert borders.longest == 3
    assert borders.places.tolist() == [*range(6)]
    assert borders.starts.dtype == torch.int32
    assert Borders.of(torch.tensor([[7]])).cuts == [0, 1]
    assert Borders.of(torch.tensor([[-1, -1]])).cuts == [0]


def test_borders_leave_out_padding_and_begin_anew_in_each_row() -> None:
    borders = Borders.of(torch.tensor([[-1, 0, 0, 1], [1, 1, -1, -1], [2, -1, 3, 3]]))
    assert borders.lengths == (2, 1, 2, 1, 2)
    assert borders.places.tolist() == [1, 2, 3, 4, 5, 8, 10, 11]
    assert borders.starts.tolist() == [0, 2, 3, 5, 6, 8]


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


NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")


@NO_CUDA
def test_without_cuda_a_fused_kernel_is_refused_and_auto_takes_what_runs(tiny) -> None:
    for name in FUSED:
        with pytest.raises(ConfigError, match=rf"{name}, but there is no CUDA(.|\n)*blocked"):
            choose(name)
    assert [choose(name) for name in ("sdpa", "eager")] == ["sdpa", "eager"]
    torch.testing.assert_close(*(states_of(tiny, name) for name in ("auto", "blocked")))


def states_of(tiny, name: str) -> torch.Tensor:
    llm, ids = tiny.model(name).llm, torch.arange(20)[None] + 5
    return llm.hidden_states(llm.embed(ids), torch.zeros_like(ids), torch.arange(20)[None])


def machine(monkeypatch, capability: tuple[int, int], packages: tuple[str, ...] = ()) -> None:
    """As if there were a GPU of this capability, and these packages."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    find = attention.importlib.util.find_spec

    def found(name: str, *more):
        if name.startswith("flash_attn"):
            return name if name in packages else None
        return find(name, *more)

    monkeypatch.setattr(attention.importlib.util, "find_spec", found)


@pytest.mark.parametrize(
    ("capability", "packages", "best"),
    [
        ((7, 5), ("flash_attn", "flash_attn_interface"), None),
        ((8, 0), (), "varlen"),
        ((8, 0), ("flash_attn", "flash_attn_interface"), "flash_attention_2"),
        ((9, 0), ("flash_attn", "flash_attn_interface"), "flash_attention_3"),
        ((10, 0), ("flash_attn_interface",), "varlen"),
    ],
)
def test_auto_takes_the_best_kernel_that_runs_and_others_are_refused(
    monkeypatch, capability, packages, best: str | None
) -> None:
    machine(monkeypatch, capability, packages)
    assert taken("auto") == best
    for name in FUSED:
        if (lacking := fused_lacks(name)) is None:
            assert taken(name) == name
        else:
            with pytest.raises(ConfigError, match=f"{name}, but .*(capability|installed)"):
                choose(name)
            assert "capability" in lacking or "installed" in lacking
    assert taken("blocked") is None


def taken(asked: str) -> str | None:
    """The fused kernel behind the function that transformers would call."""
    from transformers import AttentionInterface

    return AttentionInterface()[choose(asked)].keywords["fused"]


def test_windows_reach_attention_and_what_no_kernel_computes_is_refused() -> None:
    query, key, value = (each[None] for each in inputs())
    module = torch.nn.Identity()
    given = {**arguments(Borders.between(LENGTHS)), "scaling": 0.3}

    def mixed(**more) -> torch.Tensor:
        return attend(module, query, key, value, None, **given, **more)[0]

    assert mixed().shape == (1, sum(LENGTHS), 6, 8)
    torch.testing.assert_close(mixed(sliding_window=140), mixed(), rtol=0, atol=0)
    assert not torch.allclose(mixed(sliding_window=139), mixed())
    for refused in ({"dropout": 0.1}, {"softcap": 30.0}, {"s_aux": torch.zeros(6)}):
        with pytest.raises(ConfigError, match=f"attention with {next(iter(refused))}"):
            mixed(**refused)
