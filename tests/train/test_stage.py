"""Stages: which experts are in use, and the copy that a stage begins with."""

from __future__ import annotations

import pytest
import torch

from affect_mllm.train.plan.stage import Copy, Stage, copy_weights
from affect_mllm.train.plan.trainable import Group
from affect_mllm.types import ConfigError

COPY = {"emotion_expert": Copy(".experts.general.", ".experts.emotion.")}


def stage(**options) -> Stage:
    return Stage("s", {"all": Group(".*", 1.0)}, {}, steps=1, **options)


def experts(model) -> list[tuple[torch.Tensor, torch.Tensor]]:
    state = model.state_dict()
    names = [name for name in state if ".experts.general." in name]
    return [(state[n], state[n.replace(".general.", ".emotion.")]) for n in names]


@pytest.fixture
def model(tiny):
    made = tiny.model()
    with torch.no_grad():
        for general, _ in experts(made):
            general.add_(1.0)
    return made


def test_the_emotion_expert_begins_as_the_general_one(model) -> None:
    others = {n: t.clone() for n, t in model.state_dict().items() if ".experts.emotion." not in n}
    stage(copy=COPY).prepare(model, fresh=True)
    assert all(torch.equal(one, two) for one, two in experts(model))
    assert all(torch.equal(model.state_dict()[name], kept) for name, kept in others.items())


def test_a_resumed_stage_does_not_copy_again(model) -> None:
    stage(copy=COPY, experts=("emotion",)).prepare(model, fresh=False)
    assert not any(torch.equal(one, two) for one, two in experts(model))
    for compressor in model.compressors.values():
        assert compressor.active == ("emotion",)


@pytest.mark.parametrize("copy", [("experts.nobody", "experts.emotion"), (".general.", ".nobody.")])
def test_a_copy_from_or_to_nowhere_is_an_error(model, copy: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"stage\.copy"):
        copy_weights(model, *copy)
