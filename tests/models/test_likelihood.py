"""Likelihoods of labels: what a full forward pass of every label says, for less work."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example
from affect_mllm.models.likelihood import label_log_likelihoods
from affect_mllm.models.mllm import AffectMLLM
from affect_mllm.types import ConfigError, DataError
from tests import tiny as parts
from tests import tiny_vlm

LABELS = ("happy", "happy and sad", "", "very angry indeed")


@pytest.fixture(
    scope="module",
    params=["encoders eager", "encoders sdpa", "native qwen2_5_vl", "native qwen3_vl"],
)
def asked(tiny, tmp_path_factory, request) -> tuple[AffectMLLM, list[Example]]:
    """A model that is not at its neutral start, and prompts of different lengths."""
    family, kind = request.param.split()
    if family == "native":
        folder = tiny_vlm.build(tiny, tmp_path_factory.mktemp("vlm"), kind)
        model: AffectMLLM = tiny_vlm.model(folder)
        prompts = tiny_vlm.examples(tiny, model, ("wide", "video", "words"), answer=None)
    else:
        model = tiny.model(attention=kind)
        kinds = [("face", "audio", "text"), ("text",), ("audio",)]
        prompts = parts.examples(tiny, model, kinds, answer=None)
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("compressors.") or "lora_B" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model, prompts


def ids(tiny, model: AffectMLLM) -> list[list[int]]:
    chat = tiny.data.maker(model.llm.tokenizer, model.span_lengths()).chat
    return [chat.answer_ids(label) for label in LABELS]


@torch.no_grad()
def naive(model: AffectMLLM, prompt: Example, label: list[int]) -> float:
    """The sum of log-probabilities of the label's tokens, from one full forward pass."""
    whole = replace(
        prompt, input_ids=prompt.input_ids + label, labels=prompt.labels + [-100] * len(label)
    )
    batch = collate([whole], pad_id=0)
    states = model(batch, lambda _model, _batch, hidden: hidden.states)[0]
    logs = model.llm.logits(states[len(prompt) - 1 : -1]).double().log_softmax(-1)
    return float(logs[range(len(label)), label].sum())


def test_they_are_the_sums_of_a_full_forward_pass(tiny, asked) -> None:
    model, prompts = asked
    labels = ids(tiny, model)
    assert len({len(label) for label in labels}) > 2
    found = label_log_likelihoods(model, collate(prompts, pad_id=0), labels)
    expected = torch.tensor([[naive(model, p, label) for label in labels] for p in prompts])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    assert len(set(found.argmax(1).tolist()) | set(found.argmin(1).tolist())) > 1
    mean = label_log_likelihoods(model, collate(prompts, pad_id=0), labels, normalize=True)
    lengths = torch.tensor([len(label) for label in labels])
    torch.testing.assert_close(mean, found / lengths)


def test_the_prompt_is_computed_once(tiny, asked) -> None:
    model, prompts = asked
    labels = ids(tiny, model)
    seen: list[int] = []
    layer = model.llm.net.get_decoder().layers[0]
    hook = layer.register_forward_pre_hook(lambda _layer, given: seen.append(given[0].shape[1]))
    label_log_likelihoods(model, collate(prompts, pad_id=0), labels)
    hook.remove()
    longest = max(len(prompt) for prompt in prompts)
    assert seen == [longest, sum(len(label) - 1 for label in labels)]


def test_labels_of_one_token_need_no_second_pass(tiny, asked) -> None:
    model, prompts = asked
    labels = [[7], [9]]
    found = label_log_likelihoods(model, collate(prompts, pad_id=0), labels)
    expected = torch.tensor([[naive(model, p, label) for label in labels] for p in prompts])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_what_cannot_be_scored_is_said(asked) -> None:
    model, prompts = asked
    with pytest.raises(ConfigError, match="labels"):
        label_log_likelihoods(model, collate(prompts, pad_id=0), [[5], []])
    packed = collate(prompts, pad_id=0, row_tokens=10_000)
    with pytest.raises(DataError, match="one prompt a row"):
        label_log_likelihoods(model, packed, [[5]])
