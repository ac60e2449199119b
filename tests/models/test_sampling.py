"""Tokens drawn by chance: in the right proportions, and the same whatever is beside them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from scipy.stats import chisquare

from affect_mllm.models.decoding import Repeat, TokenSampling
from affect_mllm.models.llm.language_model import LanguageModel
from affect_mllm.models.llm.prompt import Prompt
from affect_mllm.types import ConfigError

SCORES = torch.tensor([1.0, 0.0, -torch.inf, 2.0, 0.5, -1.0])
MANY = 6000


def drawn(repeat: Repeat, scores: torch.Tensor = SCORES) -> Counter[int]:
    """How often each token is drawn, of many rows with the same scores."""
    choose = repeat.chooser([f"r{i}" for i in range(MANY)], 1)
    chosen = choose(torch.zeros(MANY, 0), scores.expand(MANY, -1))
    assert (torch.isfinite(chosen).sum(1) == 1).all(), "one token is left to each row"
    return Counter(chosen.argmax(1).tolist())


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_tokens_come_as_often_as_they_are_likely(temperature: float) -> None:
    found = drawn(Repeat(TokenSampling(temperature=temperature, seed=2), 1))
    shares = (SCORES / temperature).softmax(0)
    possible = [token for token in range(len(SCORES)) if shares[token] > 0]
    assert set(found) <= set(possible)
    expected = [float(shares[token]) * MANY for token in possible]
    expected = [each * MANY / sum(expected) for each in expected]
    assert chisquare([found[token] for token in possible], expected).pvalue > 1e-3


def test_of_the_likeliest_tokens_alone() -> None:
    """Shares 0.6, 0.2, 0.15, 0.05: 0.7 of the mass takes two tokens."""
    scores = torch.tensor([0.05, 0.6, 0.15, 0.2]).log()
    found = drawn(Repeat(TokenSampling(temperature=1.0, top_p=0.7), 1), scores)
    assert set(found) == {1, 3}
    assert found[1] / MANY == pytest.approx(0.75, abs=0.03)
    assert set(drawn(Repeat(TokenSampling(top_p=0.01), 1))) == {3}, "one token always stays"


def test_a_row_draws_the_same_in_any_company() -> None:
    rows, repeat = [f"r{i}" for i in range(40)], Repeat(TokenSampling(temperature=2.0), 1)

    def tokens(names: list[str], how: Repeat) -> dict[str, tuple[int, ...]]:
        choose = how.chooser(names, 3)
        scores = SCORES.expand(len(names), -1)
        steps = [choose(torch.zeros(len(names), t), scores).argmax(1).tolist() for t in range(3)]
        return dict(zip(names, zip(*steps, strict=True), strict=True))

    together = tokens(rows, repeat)
    assert tokens(rows[::-1][:7], repeat) == {name: together[name] for name in rows[::-1][:7]}
    assert len(set(together.values())) > 10, "rows and steps draw each for themselves"
    for other in (replace(repeat, number=2), replace(repeat, sampling=TokenSampling(2.0, seed=1))):
        assert tokens(rows, other) != together


def test_a_language_model_continues_with_what_was_drawn(tiny) -> None:
    """At a temperature near zero it is the greedy answer; at a high one rows differ."""
    llm = LanguageModel(str(tiny.root / "llm_untied"), dtype="float32").eval()
    ids = torch.arange(5, 11).repeat(6, 1)
    places = torch.arange(6).repeat(6, 1)
    prompt = Prompt(llm.embed(ids), places, torch.ones(6, 6, dtype=torch.bool))
    rows = [f"r{i}" for i in range(6)]

    def said(temperature: float) -> list[str]:
        chooser = Repeat(TokenSampling(temperature), 1).chooser(rows, 8)
        with torch.no_grad():
            return llm.written(prompt, max_new_tokens=8, chooser=chooser)[0]

    with torch.no_grad():
        greedy = llm.written(prompt, max_new_tokens=8)[0]
    assert said(1e-6) == greedy
    assert len(set(said(5.0))) > 3
    assert said(5.0) == said(5.0)


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"top_p": 0.0}, {"top_p": 1.1}])
def test_what_cannot_be_drawn_by_is_refused(wrong) -> None:
    with pytest.raises(ConfigError, match=rf"sampling\.{next(iter(wrong))}"):
        TokenSampling(**wrong)
