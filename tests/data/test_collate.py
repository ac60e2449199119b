"""Collating: packed or padded, every example's ids, spans and media are where they belong."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from affect_mllm.data.collate import collate
from affect_mllm.data.example import Example
from affect_mllm.types import Batch, DataError, Span


def example(number: int, length: int, media: dict[str, int]) -> Example:
    """Ids that tell the example, a span of 2 at place 1 for each medium, media of this number."""
    ids = [100 * number + place for place in range(length)]
    labels = [-100] * (length - 2) + ids[-2:]
    spans = tuple(Span(name, 1 + 2 * k, 2) for k, name in enumerate(media))
    arrays = {name: np.full((t, 3), number, np.float16) for name, t in media.items()}
    return Example(f"s{number}", ids, labels, spans, arrays, encoded=True)


EXAMPLES = [
    example(1, 5, {"face": 2}),
    example(2, 9, {"face": 4, "audio": 7}),
    example(3, 6, {}),
    example(4, 7, {"audio": 3}),
]


def check(batch: Batch) -> None:
    """Everything an example holds is found again through segments, spans and media."""
    for number, made in enumerate(EXAMPLES):
        here = batch.segments == number
        assert batch.input_ids[here].tolist() == made.input_ids
        assert batch.labels[here].tolist() == made.labels
        assert batch.position_ids[here].tolist() == list(range(len(made)))
        mine = [span for span in batch.spans if span.example == number]
        assert [span.modality for span in mine] == list(made.media)
        for old, new in zip(made.spans, mine, strict=True):
            found = batch.input_ids[new.row, new.start : new.start + new.length]
            assert found.tolist() == made.input_ids[old.start : old.start + old.length]
    padding = batch.segments < 0
    assert (batch.labels[padding] == -100).all()
    assert (batch.input_ids[padding] == 9).all()
    assert batch.sample_ids == ("s1", "s2", "s3", "s4")


def test_padded_rows_are_the_examples_in_order() -> None:
    batch = collate(EXAMPLES, pad_id=9)
    assert batch.input_ids.shape == (4, 9)
    assert [int(row[0]) for row in batch.segments] == [0, 1, 2, 3]
    check(batch)


@pytest.mark.parametrize(("tokens", "rows"), [(16, 2), (27, 1), (3, 4)])
def test_packed_rows_hold_every_example(tokens: int, rows: int) -> None:
    batch = collate(EXAMPLES, pad_id=9, row_tokens=tokens)
    assert len(batch.input_ids) == rows
    check(batch)


def test_media_are_padded_by_modality_and_know_their_example() -> None:
    media = collate(EXAMPLES, pad_id=9, row_tokens=16).media
    assert {name: items.examples for name, items in media.items()} == {
        "face": (0, 1),
        "audio": (1, 3),
    }
    assert media["face"].values.shape == (2, 4, 3)
    assert media["face"].mask.sum(1).tolist() == [2, 4]
    assert media["audio"].values[:, 0, 0].tolist() == [2, 4]
    for items in media.values():
        assert not items.values[~items.mask].any()
        assert items.values.dtype == torch.float32


def test_states_and_inputs_in_one_batch_are_refused() -> None:
    from dataclasses import replace

    with pytest.raises(DataError, match="mixed"):
        collate([EXAMPLES[0], replace(EXAMPLES[1], encoded=False)], pad_id=9)
