"""The token loss: torch's own on shifted labels, and the same gradient however a step is split."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, linear

from affect_mllm.data.collate import collate
from affect_mllm.train.loss.objective import Objective
from affect_mllm.train.loss.token import TokenLoss, chunked_loss_sum, supervised
from affect_mllm.types import ConfigError
from tests import tiny as parts

KINDS = [("face", "audio", "text"), ("text",), ("audio",), ("face", "text"), ("image",)]
LM = Objective({"lm": TokenLoss()})


def test_labels_are_shifted_once_as_torchs_own_loss_on_shifted_labels_says() -> None:
    torch.manual_seed(0)
    labels = torch.randint(0, 7, (3, 6))
    labels[0, :3] = labels[1] = labels[2, 0] = -100
    states, weight = torch.randn(3, 6, 4), torch.randn(7, 4)
    positions, targets = supervised(labels)
    got = chunked_loss_sum(states[positions], weight, None, targets, chunk=3)
    logits = linear(states, weight)[:, :-1].flatten(0, 1)
    theirs = cross_entropy(logits, labels[:, 1:].flatten(), reduction="sum")
    torch.testing.assert_close(got, theirs)
    assert len(targets) == 8
    assert not positions[:, -1].any(), "the last place predicts nothing"


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9])
@pytest.mark.parametrize("bias", [True, False])
def test_chunks_have_the_value_and_gradients_of_the_whole(count: int, bias: bool) -> None:
    torch.manual_seed(count)
    shapes = [(count, 5), (11, 5), *([(11,)] if bias else [])]
    given = [torch.randn(shape, dtype=torch.float32, requires_grad=True) for shape in shapes]
    targets = torch.randint(0, 11, (count,))
    states, weight, b = (*given, None)[:3]
    whole = cross_entropy(linear(states, weight, b), targets, reduction="sum")
    expected = torch.autograd.grad(3 * whole, given)
    parted = chunked_loss_sum(states, weight, b, targets, chunk=4)
    torch.testing.assert_close(parted, whole)
    for got, grad in zip(torch.autograd.grad(3 * parted, given), expected, strict=True):
        torch.testing.assert_close(got, grad, rtol=1e-5, atol=1e-6)


def test_in_bfloat16_it_is_still_summed_in_float32() -> None:
    torch.manual_seed(0)
    states, weight = torch.randn(300, 16).bfloat16(), torch.randn(9, 16)
    targets = torch.randint(0, 9, (300,))
    with torch.autocast("cpu", torch.bfloat16):
        got = chunked_loss_sum(states, weight, None, targets, chunk=100)
    logits = linear(states, weight.bfloat16()).float()
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, cross_entropy(logits, targets, reduction="sum"))


@pytest.mark.parametrize(
    ("split", "row_tokens"), [([5], 400), ([2, 3], 0), ([1] * 5, 0), ([4, 1], 250)]
)
def test_the_gradient_does_not_depend_on_how_a_step_is_split(tiny, split, row_tokens) -> None:
    model = tiny.model().train()
    answers = ["happy", "sad and tired and slow", "angry", "calm or bored", "no"]
    examples = [
        parts.examples(tiny, model, KINDS[: i + 1], answer)[i] for i, answer in enumerate(answers)
    ]
    tokens = sum(label != -100 for e in examples for label in e.labels)
    connectors = nn.ModuleDict({"c": model.compressors, "f": model.fusion})
    connectors.requires_grad_(True)

    def gradient(sizes: list[int], width: int) -> dict[str, torch.Tensor]:
        model.zero_grad()
        start = 0
        for size in sizes:
            batch = collate(examples[start : start + size], pad_id=0, row_tokens=width)
            (model(batch, LM).losses["lm"] / tokens).backward()
            start += size
        named = dict(connectors.named_parameters())
        lost = [name for name, p in named.items() if p.grad is None]
        assert not lost, "DDP would wait for these"
        return {name: p.grad.clone() for name, p in named.items()}

    whole, parted = gradient([5], 0), gradient(split, row_tokens)
    largest = max(float(grad.abs().max()) for grad in whole.values())
    for name, grad in whole.items():
        torch.testing.assert_close(parted[name], grad, rtol=1e-4, atol=1e-5 * largest, msg=name)


def test_a_batch_of_words_alone_has_a_gradient_and_changes_no_value(tiny) -> None:
    model = tiny.model()
    batch = collate(parts.examples(tiny, model, [("text",)]), pad_id=0)
    quiet = model(batch, LM).losses["lm"]
    model.compressors.requires_grad_(True)
    loud = model.train()(batch, LM).losses["lm"]
    assert torch.equal(loud, quiet)
    loud.backward()
    assert not any(p.grad.any() for p in model.compressors.parameters())


def test_an_llm_that_changes_its_logits_is_refused(tiny) -> None:
    """Gemma 2 caps them: cross-entropy of the plain head's would be of another model."""
    model = tiny.model()
    batch = collate(parts.examples(tiny, model, [("text",)]), pad_id=0)
    model.llm.net.config.final_logit_softcapping = 30.0
    with pytest.raises(ConfigError, match=r"final_logit_softcapping': 30"):
        model(batch, LM)
    model.llm.net.config.final_logit_softcapping = None
    model.llm.net.lm_head = nn.Sequential(model.llm.net.lm_head)
    with pytest.raises(ConfigError, match="Sequential"):
        model(batch, LM)
