"""The demo's own model in float32: packed and padded batches give one loss and one gradient.

And the tests that say so would notice: without the mask, or with restarted positions alone,
packed examples see one another.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from affect_mllm import config
from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example, ExampleMaker
from affect_mllm.models.llm import masks as llm_module
from affect_mllm.models.llm.attention import choose
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.loss.token import TokenLoss
from affect_mllm.types import Sample
from tests import tiny as parts

LM = Objective({"lm": TokenLoss()})
SEEN = (("face", "audio"), (), ("audio",), ("face",))


@pytest.fixture(scope="module")
def model(assets: Path) -> AffectMLLM:
    """SmolLM2-135M with its connectors and LoRA away from their neutral start."""
    changes = ("model.llm.dtype=float32", "model.llm.attention=sdpa")
    cfg = config.checked(config.compose("train", ["experiment=demo", *changes]))
    torch.manual_seed(0)
    made: AffectMLLM = config.build(cfg.model)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            trained = name.startswith(("compressors.", "fusion.")) or "lora_" in name
            parameter.requires_grad_(trained)
            if trained:
                parameter.add_(torch.randn_like(parameter) * 0.02)
    return made


@pytest.fixture(scope="module")
def examples(model: AffectMLLM) -> list[Example]:
    """Mixed lengths and modalities."""
    cfg = config.compose("train", ["experiment=demo"])
    maker: ExampleMaker = config.build(cfg.data).maker(model.llm.tokenizer, model.span_lengths())
    widths = {m: int(model.encoders[b].hidden_size) for m, b in model.branches.items()}
    words = random.Random(0)
    made = []
    for number, seen in enumerate(SEEN):
        said = " ".join(words.choices(("so", "well", "never", "again", "home"), k=2 + 6 * number))
        states = parts.states(number, dict.fromkeys(seen, 6 + 3 * number), widths)
        row = Sample(f"e{number}", Path(), subtitle=said)
        answer = ("happy", "sad and tired", "angry", "calm")[number]
        made.append(maker.make(row, states, question=parts.QUESTION, answer=answer))
    return made


def step(
    model: AffectMLLM, examples: list[Example], row_tokens: int
) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss a supervised token, and every gradient."""
    model.zero_grad()
    batch = collate(examples, pad_id=0, row_tokens=row_tokens)
    loss = model(batch, LM).losses["lm"] / int((batch.labels != -100).sum())
    loss.backward()
    return float(loss.detach()), {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def far(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> float:
    """The length of the difference of two gradients, relative to the first one's."""
    assert one.keys() == two.keys()
    difference = sum(float((two[name] - grad).double().pow(2).sum()) for name, grad in one.items())
    return (difference / sum(float(grad.double().pow(2).sum()) for grad in one.values())) ** 0.5


@pytest.mark.parametrize("attention", ["sdpa", "blocked"])
def test_packed_and_padded_give_the_same_loss_and_gradients(
    model, examples, attention: str, monkeypatch
) -> None:
    monkeypatch.setattr(model.llm, "attention", attention)
    monkeypatch.setattr(model.llm.net.config, "_attn_implementation", choose(attention))
    (one, gradients), (two, packed) = (step(model, examples, tokens) for tokens in (0, 10_000))
    assert len(gradients) > 400
    assert two == pytest.approx(one, rel=1e-5)
    assert far(gradients, packed) < 1e-5


@pytest.mark.parametrize("broken", ["no mask between examples", "a mask of the padding"])
def test_a_leak_between_packed_examples_is_noticed(
    model, examples, broken: str, monkeypatch
) -> None:
    """Restarted positions alone do not help: beside a mask of the padding, which is what collators
    usually make, transformers lets every earlier example be seen."""
    if broken == "a mask of the padding":
        monkeypatch.setattr(llm_module, "block_causal_mask", lambda segments: segments >= 0)
    else:
        mask = llm_module.block_causal_mask
        monkeypatch.setattr(llm_module, "block_causal_mask", lambda s: mask(torch.zeros_like(s)))
    loss, gradients = step(model, examples, 0)
    leaking, others = step(model, examples, 10_000)
    assert leaking != pytest.approx(loss, rel=1e-3)
    assert far(gradients, others) > 1e-2
