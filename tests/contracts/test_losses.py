"""What every loss of conf/loss owes, on a tiny model; a new YAML is picked up by itself."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

import affect_mllm.train.loss
from affect_mllm import config
from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.models.tiny.language import tiny_llm
from affect_mllm.train.loss.answers import scored
from affect_mllm.train.loss.objective import Loss, Objective
from affect_mllm.train.loss.perception import Perception
from affect_mllm.train.loss.policy import Divergence, GroupPolicy
from affect_mllm.train.loss.preference import PairLoss
from affect_mllm.types import Batch, Blind, Drawn
from tests import tiny as parts
from tests.variants import names, variant

LOSSES = names("loss")
DRAWN = (GroupPolicy, Divergence, Perception)
COMPARING = (PairLoss, *DRAWN)
KINDS = [("face", "audio", "text"), ("face", "audio"), ("audio", "text"), ("face", "text")]
LABELS: list[dict[str, Any]] = [
    {"emotion": "happy", "emotions": ["happy", "proud"], "intensity": 0.9, "valence": 0.8}
    | {"arousal": 0.1, "sentiment": 2.0, "description": "a smile", "intent": "to thank"},
    {"emotion": "sad", "emotions": ["sad"], "intensity": 0.2, "valence": -0.5}
    | {"dominance": -0.4, "sentiment": -1.0, "description": "a low voice", "intent": "to mourn"},
    {"emotion": "angry", "emotions": ["angry"], "intensity": 0.7, "dominance": 0.9}
    | {"sentiment": -2.0, "description": "a frown", "intent": "to blame"},
    {"description": "a smile"},
]


def load(name: str) -> Loss:
    cfg: Any = OmegaConf.create(variant("loss", name))
    config.check(cfg)
    return config.build(cfg)


@pytest.fixture(scope="module", params=LOSSES)
def loss(request) -> Loss:
    return load(request.param)


def experts(tiny) -> Path:
    """The folder of an LLM that is a mixture of experts."""
    folder = tiny.root / "llm_experts"
    if not folder.exists():
        torch.manual_seed(0)
        sizes = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
        tiny_llm("qwen3_moe", folder, **sizes)
    return folder


@pytest.fixture
def model(tiny, loss: Loss) -> AffectMLLM:
    """A tiny model with the loss's head, whose gates and experts are not at their neutral start."""
    made = tiny.model(llm=experts(tiny)) if loss.reads_router else tiny.model()
    torch.manual_seed(2)
    head = loss.head(made.llm.hidden_size)
    if head is not None:
        made.heads["it"] = head
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.startswith("compressors."):
                parameter.add_(0.05 * torch.randn_like(parameter))
            if name.endswith("gate.output.bias"):
                parameter[0] += 1.0  # 0.73 to 0.27
    return made


def examples(tiny, model: AffectMLLM, loss: Loss, *, labelled: bool = True) -> list:
    """With labels, or with two answers each where the loss is about such."""
    answers = ("happy", "sad and slow") if labelled and isinstance(loss, COMPARING) else "happy"
    made = parts.examples(tiny, model, KINDS, answers)
    if labelled and isinstance(loss, DRAWN):
        made = [replace(example, drawn=drawn(example, i)) for i, example in enumerate(made)]
    for example, labels in zip(made, LABELS, strict=True):
        example.truth.update(labels if labelled else {})
    return made


def drawn(example: Example, number: int) -> Drawn:
    """Rewards of a group, one of which is dead; of the others every other token is of the voice."""
    logps = tuple(tuple([-1.0] * length) for length in example.answers)
    said = tuple(tuple(n % 2 == 0 for n in range(length)) for length in example.answers)
    blind = {"audio": Blind(tuple(tuple(p - 4.0 for p in own) for own in logps), said)}
    without = {} if number == 1 else blind
    return Drawn((1.0, 1.0 if number == 1 else -0.5), logps, limit=30, without=without)


def batched(model: AffectMLLM, made: list, row_tokens: int = 0) -> Batch:
    """With a reference that is another than the model, the same for an example in any batch."""
    batch = collate(made, pad_id=0, row_tokens=row_tokens)
    if batch.branches is None:
        return batch
    with torch.no_grad():
        found = model(batch, scored)
    away = [torch.sin(torch.arange(n) + n) for n in found.answers.lengths]
    return replace(batch, reference=found.logps + torch.cat(away))


def of(loss: Loss, model: AffectMLLM, batch: Batch) -> torch.Tensor:
    return model(batch, Objective({"it": loss})).losses["it"]


def concrete(kind: type) -> set[type]:
    below = {found for each in kind.__subclasses__() for found in concrete(each)}
    return below | (set() if inspect.isabstract(kind) else {kind})


def test_every_loss_of_the_package_has_a_yaml() -> None:
    package = affect_mllm.train.loss
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(found.name)
    ours = {each for each in concrete(Loss) if each.__module__.startswith(package.__name__)}
    shown = {type(load(name)) for name in LOSSES}
    assert {each.__name__ for each in ours} == {each.__name__ for each in shown}


def test_it_is_a_sum_over_items_whatever_the_rows_look_like(tiny, model, loss: Loss) -> None:
    every = examples(tiny, model, loss)
    padded, packed = (batched(model, every, width) for width in (0, 400))
    assert loss.count(padded) == loss.count(packed) > 0, "the contract's rows have no item of it"
    with torch.no_grad():
        found, other = (of(loss, model, batch) for batch in (padded, packed))
    assert found.shape == ()
    assert torch.isfinite(found)
    torch.testing.assert_close(found, other, rtol=1e-4, atol=1e-5)


def test_unless_it_is_coupled_it_does_not_depend_on_the_split(tiny, model, loss: Loss) -> None:
    every = examples(tiny, model, loss)
    whole, splits = batched(model, every), (every[:1], every[1:])
    made = [batched(model, part) for part in splits]
    if loss.coupled:
        return
    assert sum(map(loss.count, made)) == loss.count(whole)
    with torch.no_grad():
        together = sum(float(of(loss, model, part)) for part in made)
        assert together == pytest.approx(float(of(loss, model, whole)), rel=1e-5)


def test_alone_it_falls_and_all_of_its_head_learns(tiny, model, loss: Loss) -> None:
    batch, objective = batched(model, examples(tiny, model, loss)), Objective({"it": loss})
    wanted = {n: p for n, p in model.named_parameters() if n.startswith(("compressors.", "heads."))}
    if loss.reads_router:
        wanted |= {n: p for n, p in model.named_parameters() if n.endswith("mlp.gate.weight")}
    for parameter in wanted.values():
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(wanted.values(), lr=5e-3)
    model.train()
    seen = []
    for _ in range(12):
        total = objective.total({"it": of(loss, model, batch)}, objective.counts(batch))
        seen.append(float(total.detach()))
        optimizer.zero_grad()
        total.backward()
        heads = [p for name, p in wanted.items() if name.startswith("heads.")]
        assert all(p.grad is not None and p.grad.any() for p in heads)
        optimizer.step()
    if isinstance(loss, GroupPolicy):  # a surrogate: its gradient is meant, its value is not
        return
    assert seen[-1] < seen[0] - 0.05 * abs(seen[0])


def test_without_a_label_it_is_still_connected_and_zero_without_an_item(
    tiny, model, loss: Loss
) -> None:
    """Every rank runs the same modules in every micro-batch, whatever its rows have."""
    batch = collate(examples(tiny, model, loss, labelled=False), pad_id=0)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    found = of(loss, model, batch)
    found.backward()
    assert all(parameter.grad is not None for parameter in model.heads.parameters())
    if loss.count(batch) == 0:
        assert float(found.detach()) == 0
        assert not any(parameter.grad.any() for parameter in model.heads.parameters())
