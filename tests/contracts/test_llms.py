"""What every LLM of conf/llm owes, at tiny size; a new YAML is picked up by itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from affect_mllm import config
from affect_mllm.models.llm.language_model import LanguageModel
from tests import tiny_experiments
from tests.tiny import Tiny
from tests.variants import names, variant

LLMS = names("llm")


def build(tiny: Tiny, name: str) -> LanguageModel:
    cfg: Any = OmegaConf.create(variant("llm", name))
    tiny_experiments.shrink(tiny, cfg)
    cfg.pop("quantize", None)  # needs a package and a GPU
    config.check(cfg)
    torch.manual_seed(0)
    return config.build(cfg).eval()


@torch.no_grad()
@pytest.mark.parametrize("name", LLMS)
def test_its_logits_are_finite_and_two_examples_in_a_row_do_not_see_each_other(tiny, name) -> None:
    llm = build(tiny, name)
    one, two = (llm.tokenizer(text)["input_ids"] for text in ("happy or sad?", "Which emotion"))

    def logits(*examples: list[int]) -> torch.Tensor:
        ids = torch.tensor([[token for each in examples for token in each]])
        segments = torch.tensor([[i for i, each in enumerate(examples) for _ in each]])
        places = torch.tensor([[at for each in examples for at in range(len(each))]])
        return llm.logits(llm.hidden_states(llm.embed(ids), segments, places))[0]

    alone, packed = logits(two), logits(one, two)[len(one) :]
    assert torch.isfinite(alone).all()
    torch.testing.assert_close(packed, alone, rtol=1e-4, atol=1e-4)


def test_tiny_models_differ_in_what_real_ones_differ_in(tiny: Tiny) -> None:
    made = [build(tiny, name) for name in ("smollm2_135m", "qwen25_7b", "llama2_7b")]
    tied = [
        m.net.get_output_embeddings().weight is m.net.get_input_embeddings().weight for m in made
    ]
    assert tied == [True, False, False]
    spaces = [m.tokenizer.convert_ids_to_tokens(m.tokenizer("a b")["input_ids"]) for m in made]
    assert ["▁" in "".join(pieces) for pieces in spaces] == [False, False, True]
