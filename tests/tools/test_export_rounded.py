"""Exports of a bfloat16 LLM: exact sums rounded once, and faults that rounding could hide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft.tuners.lora.layer import Linear

from affect_mllm.models import checkpoint as store
from affect_mllm.tools.export import export
from affect_mllm.tools.hf.export import merge
from affect_mllm.tools.hf.model import AffectForConditionalGeneration
from affect_mllm.types import CheckpointError
from tests.tools.exports import answers_of, checkpoint, prompts, settings


@pytest.fixture(scope="module", params=("encoders_pieces", "qwen2_5_vl_tied"))
def rounded(tiny, tmp_path_factory, request) -> tuple[Path, Path]:
    """The same of a checkpoint whose LLM is kept in bfloat16."""
    root = tmp_path_factory.mktemp(f"{request.param}_bf16")
    made = checkpoint(root / "checkpoint", settings(tiny, root, request.param), dtype="bfloat16")
    proof = export(made, root / "exported")
    assert proof.merge <= 1e-4 < proof.exported <= 2 * proof.own
    assert 0 == proof.changed < proof.decided
    return made, root / "exported"


def test_a_bfloat16_model_is_the_exact_sum_rounded_once(tiny, rounded) -> None:
    """Merged here in float32 and then rounded, the checkpoint says the same to the last bit."""
    made, folder = rounded
    model, exact = store.load_model(made), store.load_model(made).float()
    merge(model, exact)
    loaded = transformers.AutoModel.from_pretrained(folder).eval()
    loaded.affect.llm.tokenizer = model.llm.tokenizer  # the processor has it
    assert {p.dtype for p in loaded.affect.compressors.parameters()} == {torch.float32}
    assert {p.dtype for p in loaded.affect.llm.parameters()} == {torch.bfloat16}
    for name, weight in exact.state_dict().items():
        assert torch.equal(loaded.affect.state_dict()[name].float(), weight) or torch.equal(
            loaded.affect.state_dict()[name], weight.bfloat16()
        ), name
    asked = prompts(tiny)
    assert answers_of(loaded.affect, made, asked) == answers_of(model, made, asked)


@pytest.mark.parametrize("fault", ["scale", "saved"])
def test_a_small_fault_in_bfloat16_is_seen_though_rounding_is_larger(
    rounded, tmp_path, monkeypatch, fault
) -> None:
    made, _ = rounded
    if fault == "scale":
        whole = Linear.get_delta_weight
        monkeypatch.setattr(Linear, "get_delta_weight", lambda s, name: 1.02 * whole(s, name))
    else:
        original = AffectForConditionalGeneration.save_pretrained

        def save(self: Any, *given: Any, **options: Any) -> None:
            bias = self.affect.llm.net.get_input_embeddings().weight
            kept = bias.detach().clone()
            bias.data[3, 0] += 0.01 * bias.data.abs().max()
            original(self, *given, **options)
            bias.data.copy_(kept)

        monkeypatch.setattr(AffectForConditionalGeneration, "save_pretrained", save)
    with pytest.raises(CheckpointError, match="differ by" if fault == "scale" else "1 weights|2 w"):
        export(made, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
