"""Heads on media tokens: their values by torch, and no LLM where nothing else is asked."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy, layer_norm, smooth_l1_loss

from affect_mllm.data.collate import collate
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.train.loss.labels import MediaLabels
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.loss.token import TokenLoss
from affect_mllm.types import Batch, ConfigError, DataError
from tests import tiny as parts

KINDS = [("face", "audio", "text"), ("audio",), ("text",), ("face",)]
TRUTHS = [{"mood": "calm", "stress": 3.0}, {"mood": "tense"}, {"mood": "calm"}, {"stress": 9.0}]
LOSS = MediaLabels(classes={"mood": ["calm", "tense"]}, scales={"stress": [1, 9]}, smoothing=0.1)


@pytest.fixture(scope="module")
def model(tiny) -> AffectMLLM:
    made = tiny.model()
    torch.manual_seed(5)
    made.heads["labels"] = LOSS.head(made.llm.hidden_size)
    return made


def batch_of(tiny, model, kinds=KINDS, truths=TRUTHS) -> Batch:
    made = collate(parts.examples(tiny, model, kinds), pad_id=0, row_tokens=400)
    return Batch(**{**vars(made), "truths": tuple(truths)})


def test_it_is_the_cost_of_a_linear_head_on_the_mean_token(tiny, model) -> None:
    batch = batch_of(tiny, model)
    with torch.no_grad():
        tokens, _ = model.media_tokens(batch)
        found = model(batch, Objective({"labels": LOSS})).losses["labels"]
        head = model.heads["labels"]
        outputs = {}
        for i in (0, 1, 3):
            mean = torch.cat([each[i] for each in tokens.values() if i in each]).mean(0)
            outputs[i] = head.linear(layer_norm(mean, mean.shape))
    moods = torch.stack([outputs[0][:2], outputs[1][:2]])
    wanted = cross_entropy(moods, torch.tensor([0, 1]), reduction="sum", label_smoothing=0.1)
    stress = torch.stack([outputs[0][2], outputs[3][2]])
    wanted = wanted + smooth_l1_loss(stress, torch.tensor([0.25, 1.0]), reduction="sum")
    torch.testing.assert_close(found, wanted)
    assert LOSS.count(batch) == 5, "what has a label counts, whether it has media or not"


def test_alone_it_runs_no_llm_and_trains_the_connectors(tiny, model, monkeypatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the LLM ran")

    batch = batch_of(tiny, model)
    model.train()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(model.llm, "hidden_states", refuse)
            model.zero_grad()
            model(batch, Objective({"labels": LOSS})).losses["labels"].backward()
            with pytest.raises(AssertionError, match="the LLM ran"):
                model(batch, Objective({"lm": TokenLoss(), "labels": LOSS}))
        slopes = [p.grad for n, p in model.named_parameters() if n.startswith("compressors.")]
        assert all(slope is not None for slope in slopes)
        assert any(slope.abs().max() > 0 for slope in slopes)
    finally:
        model.eval()


def test_a_batch_of_words_alone_costs_nothing_and_has_a_gradient(tiny, model) -> None:
    batch = batch_of(tiny, model, [("text",)], [{"mood": "calm"}])
    model.zero_grad()
    loss = model(batch, Objective({"labels": LOSS})).losses["labels"]
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(p.grad is not None for p in model.heads["labels"].parameters())


def test_an_unknown_class_and_shares_above_one_are_refused(tiny, model) -> None:
    batch = batch_of(tiny, model, [("face",)], [{"mood": "odd"}])
    with pytest.raises(DataError, match=r"mood 'odd'"):
        model(batch, Objective({"labels": LOSS}))
    with pytest.raises(ConfigError, match="shares below 1"):
        MediaLabels(smoothing=1.0)
