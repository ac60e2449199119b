"""The loss on an LLM's own routers: transformers' auxiliary loss, whatever is padded or packed."""

from __future__ import annotations

import pytest
import torch

from affect_mllm.data.collate import collate
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.loss.router import RouterBalance
from affect_mllm.train.loss.token import TokenLoss
from affect_mllm.train.plan.trainable import Group, select
from affect_mllm.types import ConfigError
from tests import tiny_omni as parts
from tests import tiny_vlm


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return parts.build(tmp_path_factory.mktemp("omni"), "qwen3_omni_moe")


@pytest.fixture(scope="module")
def model(folder):
    return tiny_vlm.model(folder, attention="sdpa")


def aux(model, batch) -> torch.Tensor:
    objective = Objective({"router": RouterBalance()})
    return model(batch, objective).losses["router"] / objective.counts(batch)["router"]


@pytest.mark.parametrize(("attention", "row_tokens"), [("sdpa", 0), ("blocked", 0), ("sdpa", 900)])
def test_it_is_the_auxiliary_loss_of_transformers(tiny, folder, attention, row_tokens) -> None:
    from transformers import AutoConfig, AutoModelForImageTextToText

    base = AutoModelForImageTextToText.from_pretrained(
        folder, config=AutoConfig.from_pretrained(folder), dtype="float32"
    ).eval()
    model = tiny_vlm.model(folder, attention=attention)
    made = parts.examples(tiny, model, ("words", "words", "words"))
    assert len({len(example) for example in made}) == 3
    plain = collate(made, pad_id=0)
    with torch.no_grad():
        theirs = base(
            input_ids=plain.input_ids,
            attention_mask=(plain.segments >= 0).long(),
            output_router_logits=True,
        ).aux_loss
        ours = aux(model, collate(made, pad_id=0, row_tokens=row_tokens))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=0)


def test_it_moves_lora_and_routers_that_train(tiny, model) -> None:
    groups = {
        "lora": Group(r"llm\..*lora_B.*", 1e-4),
        "router": Group(r"llm\..*mlp\.gate\.weight", 1e-4),
    }
    found = select(model, groups)
    batch = collate(parts.examples(tiny, model, ("sounding", "words")), pad_id=0)
    aux(model, batch).backward()
    assert all(p.grad is not None for _, members in found.items() for p in members)
    assert all(p.grad.any() for p in found["router"])
    assert any(p.grad.any() for p in found["lora"])
    model.requires_grad_(False).zero_grad()


def test_no_other_loss_has_logits_kept_for_it(tiny, model) -> None:
    batch = collate(parts.examples(tiny, model, ("words",)), pad_id=0)
    kept = []

    class Watching(TokenLoss):
        def __call__(self, model, batch, hidden, head):
            kept.append(hidden.router)
            return super().__call__(model, batch, hidden, head)

    model(batch, Objective({"lm": Watching()}))
    model(batch, Objective({"lm": Watching(), "router": RouterBalance()}))
    assert [len(each) for each in kept] == [0, 2]


def test_an_llm_without_routers_is_refused(tiny) -> None:
    with pytest.raises(ConfigError, match="no routers"):
        RouterBalance().check(tiny.model())
