"""The loss: torch's own on shifted labels, and the same gradient however a step is split."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from affect_mllm.data.collate import collate
from affect_mllm.train.loss import supervised, token_loss_sum
from tests import tiny as parts

KINDS = [("face", "audio", "text"), ("text",), ("audio",), ("face", "text"), ("image",)]


def test_it_is_torchs_cross_entropy_on_shifted_labels() -> None:
    torch.manual_seed(0)
    labels = torch.randint(0, 7, (3, 6))
    labels[0, :3] = labels[1] = labels[2, 0] = -100
    logits = torch.randn(3, 6, 7, requires_grad=True)
    positions, targets = supervised(labels)
    got = token_loss_sum(logits[positions], targets)
    theirs = cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    torch.testing.assert_close(got, theirs)
    assert len(targets) == 8
    assert not positions[:, -1].any(), "the last place predicts nothing"


def test_it_is_summed_in_float32() -> None:
    logits = torch.randn(50, 9).bfloat16()
    targets = torch.randint(0, 9, (50,))
    got = token_loss_sum(logits, targets)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, cross_entropy(logits.float(), targets, reduction="sum"))


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
            positions, targets = supervised(batch.labels)
            (token_loss_sum(model(batch, positions).logits, targets) / tokens).backward()
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
    positions, targets = supervised(batch.labels)
    quiet = model(batch, positions).logits
    model.compressors.requires_grad_(True)
    loud = model.train()(batch, positions).logits
    assert torch.equal(loud, quiet)
    token_loss_sum(loud, targets).backward()
    assert not any(p.grad.any() for p in model.compressors.parameters())
