"""Media tokens land where their spans are, or an error says both numbers."""

from __future__ import annotations

import pytest
import torch

from affect_mllm.models.splice import splice
from affect_mllm.types import DataError, Span


def tokens(count: int, value: float) -> torch.Tensor:
    return torch.full((count, 3), value)


def test_tokens_land_in_their_spans_and_nowhere_else() -> None:
    spans = [Span("face", 1, 2, row=0, example=0), Span("audio", 4, 1, row=0, example=1),
             Span("face", 0, 2, row=1, example=2)]  # fmt: skip
    given = {"face": {2: tokens(2, 30.0), 0: tokens(2, 10.0)}, "audio": {1: tokens(1, 20.0)}}
    words = torch.zeros(2, 5, 3)
    got = splice(words, spans, given)
    assert got[..., 0].tolist() == [[0, 10, 10, 0, 20], [30, 30, 0, 0, 0]]
    assert not words.any(), "the embeddings were changed in place"


def test_the_order_of_an_items_tokens_is_kept_and_gradients_reach_them() -> None:
    item = torch.arange(6.0).reshape(2, 3).requires_grad_()
    got = splice(torch.zeros(1, 4, 3), [Span("face", 1, 2)], {"face": {0: item}})
    assert torch.equal(got[0, 1:3], item)
    got.sum().backward()
    assert torch.equal(item.grad, torch.ones(2, 3))


def test_without_media_nothing_changes() -> None:
    words = torch.randn(1, 4, 3)
    assert torch.equal(splice(words, [], {}), words)


def test_other_numbers_of_placeholders_and_embeddings_are_both_said() -> None:
    with pytest.raises(DataError, match="5 placeholders, 2 embeddings"):
        splice(torch.zeros(1, 8, 3), [Span("face", 1, 5)], {"face": {0: tokens(2, 1.0)}})


def test_spans_and_tokens_without_a_partner_are_named() -> None:
    span = Span("face", 1, 2, example=3)
    with pytest.raises(DataError, match=r"spans without tokens \[\('face', 3\)\]"):
        splice(torch.zeros(1, 8, 3), [span], {})
    with pytest.raises(DataError, match=r"tokens without a span \[\('audio', 3\)\]"):
        splice(
            torch.zeros(1, 8, 3), [span], {"face": {3: tokens(2, 1.0)}, "audio": {3: tokens(1, 1)}}
        )


def test_an_item_fills_its_spans_from_left_to_right_whatever_their_order() -> None:
    words, item = torch.zeros(1, 7, 2), torch.arange(6.0).view(3, 2)
    spans = [Span("frame", 5, 1), Span("frame", 1, 2)]
    got = splice(words, spans, {"frame": {0: item}})
    assert torch.equal(got[0, [1, 2, 5]], item)
    with pytest.raises(DataError, match="3 placeholders, 2 embeddings"):
        splice(words, spans, {"frame": {0: item[:2]}})
