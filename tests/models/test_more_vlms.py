"""Native VLMs that differ by a line of the table: Qwen3-VL-MoE, Qwen3.5 with linear attention."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from affect_mllm.data.collate import collate
from affect_mllm.models.likelihood import label_log_likelihoods
from affect_mllm.models.vlm.native_vlm import NativeVLM
from affect_mllm.train.main import main
from affect_mllm.types import ConfigError
from tests import tiny_vlm as parts
from tests.models.test_native_vlm import NAMES, inputs
from tests.tiny import logits

KINDS = ("qwen3_vl_moe", "qwen3_5")


@pytest.fixture(scope="module")
def folders(tiny, tmp_path_factory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("vlm")
    return {kind: parts.build(tiny, root, kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_at_step_0_it_is_the_vlm_itself_and_generates_as_it_does(tiny, folders, kind) -> None:
    from transformers import AutoModelForImageTextToText

    model = parts.model(folders[kind])
    base: Any = AutoModelForImageTextToText.from_pretrained(folders[kind], dtype="float32").eval()
    made = parts.examples(tiny, model, NAMES)
    with torch.no_grad():
        expected = base(**inputs(model, base, made)).logits
    for row, got in enumerate(logits(model, collate(made, pad_id=0))):
        assert (got - expected[row, : len(got)]).abs().max() <= 1e-5 * expected.abs().max()
    prompts = parts.examples(tiny, model, NAMES, answer=None)
    together, _ = model.generate(collate(prompts, pad_id=0), max_new_tokens=4)
    tokenizer = model.llm.tokenizer
    for prompt, got in zip(prompts, together, strict=True):
        given = inputs(model, base, [prompt])
        ids = base.generate(
            **given, do_sample=False, max_new_tokens=4, pad_token_id=tokenizer.pad_token_id
        )
        assert got == tokenizer.decode(ids[0, len(prompt) :], skip_special_tokens=True).strip()


@pytest.fixture(scope="module")
def linear(folders) -> NativeVLM:
    return parts.model(folders["qwen3_5"])


def test_linear_attention_reads_what_stands_before_whatever_a_mask_hides(
    tiny, linear, monkeypatch
) -> None:
    """Why packing is refused: without our check the second example of a row would be another."""
    made = parts.examples(tiny, linear, ("wide", "words"))
    packed = collate(made, pad_id=0, row_tokens=10_000)
    assert len(packed.input_ids) == 1
    with pytest.raises(ConfigError, match="row_tokens=0"):
        logits(linear, packed)
    monkeypatch.setattr(linear.llm, "packs", True)
    together, (alone,) = logits(linear, packed), logits(linear, collate(made[1:], pad_id=0))
    assert (together[1] - alone).abs().max() > 0.05 * alone.abs().max()


def test_what_needs_one_row_for_several_is_refused(tiny, folders, linear, tmp_path) -> None:
    prompts = collate(parts.examples(tiny, linear, ("words",), answer=None), pad_id=0)
    with pytest.raises(ConfigError, match="generate the label"):
        label_log_likelihoods(linear, prompts, [[1, 2], [3]])
    with pytest.raises(ConfigError, match="attention=sdpa"):
        parts.model(folders["qwen3_5"], attention="blocked")
    with pytest.raises(ConfigError, match="row_tokens=0"):
        main(
            [
                "experiment=emotion_qwen",
                f"run_dir={tmp_path}",
                f"data.manifest={tiny.root / 'manifest.jsonl'}",
                "launch.workers=0",
                "launch.precision=fp32",
                *parts.overrides(folders["qwen3_5"]),
            ]
        )
