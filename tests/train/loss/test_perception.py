"""What an answer says of a sense, and what the divergence from not having that sense is worth."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example
from affect_mllm.models.tiny.language import tiny_tokenizer
from affect_mllm.train.loss.answers import Answers, Scored
from affect_mllm.train.loss.perception import Perception, spoken_tokens
from affect_mllm.train.rollout.blind import speaking
from affect_mllm.types import Batch, Blind, ConfigError, Drawn

HEARD = {"audio": Blind(((-1.0,), (-3.0, -9.0, -0.5)), ((True,), (True, False, True)))}


def group(name: str, without: dict[str, Blind], *, prompt: int = 3) -> Example:
    """A prompt with an answer of one token and one of three."""
    example = Example(name, [1] * prompt, [-100] * prompt, (), {}, encoded=True)
    drawn = Drawn((1.0, 0.0), ((-1.0,), (-1.0, -1.0, -1.0)), limit=4, without=without)
    return example.answered([[5], [6, 7, 8]], drawn)


def worth(loss: Perception, batch: Batch, logps: torch.Tensor) -> torch.Tensor:
    answers = Answers.of(batch)
    hidden = SimpleNamespace(shared={"scored": Scored(answers, logps, torch.zeros_like(logps))})
    return loss(None, batch, hidden, None)  # type: ignore[arg-type]


def test_value_and_gradient_worked_by_hand() -> None:
    """k3 = e^d − d − 1 with d = log p_blind − log p; its gradient −d, where it is below `most`."""
    batch = collate([group("a", HEARD), group("b", {})], pad_id=0)
    logps = torch.tensor([-1.5, -1.0, -2.0, -2.0, -1.0, -1.0, -1.0, -1.0], dtype=torch.float64)
    logps.requires_grad_()
    loss = Perception(sense="audio", most=1.0)
    assert loss.count(batch) == 3
    found = worth(loss, batch, logps)
    # d: +0.5 of the first answer; −2 of the second's first token, beyond `most`; +1.5 of its last.
    first, last = math.exp(0.5) - 1.5, math.exp(1.5) - 2.5
    assert first < 1 < last
    assert math.exp(-2) + 1 > 1
    assert float(found.detach()) == pytest.approx(-(first + 1.0 + 1.0), abs=1e-12)
    (grad,) = torch.autograd.grad(found, logps)
    assert grad.tolist() == pytest.approx([0.5, 0, 0, 0, 0, 0, 0, 0], abs=1e-12)
    found = worth(Perception(sense="audio", most=10.0), batch, logps)
    assert float(found.detach()) == pytest.approx(-(first + math.exp(-2) + 1 + last), abs=1e-12)
    (grad,) = torch.autograd.grad(found, logps)
    assert grad.tolist() == pytest.approx([0.5, -2.0, 0, 1.5, 0, 0, 0, 0], abs=1e-12)


def test_without_a_token_of_the_sense_it_is_exactly_zero() -> None:
    silent = {"audio": Blind(((-1.0,), (-3.0, -9.0, -0.5)), ((False,), (False, False, False)))}
    for without in ({}, silent, {"face": HEARD["audio"]}):
        batch = collate([group("a", without)], pad_id=0)
        logps = torch.randn(4, dtype=torch.float64, requires_grad=True)
        loss = Perception(sense="audio")
        found = worth(loss, batch, logps)
        assert loss.count(batch) == 0
        assert float(found.detach()) == 0
        assert not torch.autograd.grad(found, logps)[0].any()


def test_a_token_is_matched_by_example_and_answer_however_they_are_packed() -> None:
    """The longer prompt of the second example is packed first."""
    other = {"audio": Blind(((-7.0,), (-8.0, -8.5, -9.0)), ((False,), (False, True, True)))}
    batch = collate([group("a", HEARD), group("b", other, prompt=9)], pad_id=0, row_tokens=40)
    answers = Answers.of(batch)
    assert answers.examples == (1, 1, 0, 0), "else this shows nothing"
    found = spoken_tokens(batch, answers, "audio")
    assert found.places.tolist() == [2, 3, 4, 5, 7]
    assert found.blind.tolist() == [-8.5, -9.0, -1.0, -3.0, -0.5]
    assert found.drawn == 8


def test_a_sense_that_the_model_has_not_is_refused() -> None:
    model = SimpleNamespace(llm=SimpleNamespace(packs=True), modalities=("frame",))
    Perception(sense="face").check(model)
    with pytest.raises(ConfigError, match="sense=audio"):
        Perception(sense="audio").check(model)


SAID = "He smiles, but his voice trembles. He is sad."


@pytest.mark.parametrize(
    ("text", "sense", "clause", "sentencepiece"),
    [
        (SAID, "audio", "but his voice trembles.", False),
        (SAID, "audio", "but his voice trembles.", True),
        (SAID, "face", "He smiles,", False),
        (SAID, "face", "He smiles,", True),
        ("他面带微笑，但语气低沉，很难过。", "audio", "但语气低沉，", False),  # bytes of characters
        ("她很难过😢：眉头紧锁。", "face", "眉头紧锁。", False),
        ("Happy.", "face", "", False),
    ],
)
def test_the_tokens_of_a_clause(text: str, sense, clause: str, sentencepiece: bool) -> None:
    """All that it takes to write the clause, and none that is not needed for it."""
    tokenizer = tiny_tokenizer(sentencepiece=sentencepiece)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    said = speaking(tokenizer, ids, sense)
    places = [n for n, speaks in enumerate(said) if speaks]
    if not clause:
        assert places == []
        return
    first, last = places[0], places[-1]
    assert places == [*range(first, last + 1)]
    assert clause in tokenizer.decode(ids[first : last + 1])
    assert clause not in tokenizer.decode(ids[first:last])
    # SentencePiece's first piece may be the space before all text, of which nothing is written.
    if tokenizer.decode(ids[first : first + 1]):
        assert clause not in tokenizer.decode(ids[first + 1 : last + 1])
