"""Pictures cut into patches: their place in a prompt, in a batch, and in time."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from affect_mllm.data.collate import collate
from affect_mllm.types import Patches, Placeholder, Sample


def rule(patches: Patches) -> Placeholder:
    """One token for two patches, between two ids of its own."""
    return Placeholder(len(patches.values) // 2, before=(5,), after=(6,), filler=7)


def patches(count: int) -> Patches:
    return Patches(np.full((count, 3), count, np.uint8), (1, 2, count // 2), 2, 0.0)


@pytest.fixture(scope="module")
def maker(tiny):
    made = tiny.maker(tiny.model())
    return replace(made, span_lengths={**made.span_lengths, "image": rule}, fused=False)


def test_a_rule_decides_length_and_frame(tiny, maker) -> None:
    for count in (8, 12):
        example = maker.make(Sample("a", tiny.root), {"image": patches(count)}, question="?")
        (span,) = example.spans
        assert span.length == count // 2
        around = example.input_ids[span.start - 1 : span.start + span.length + 1]
        assert around == [5, *[7] * span.length, 6]


def test_a_batch_keeps_grids_and_pads_patches(tiny, maker) -> None:
    made = [
        maker.make(Sample(f"a{count}", tiny.root), {"image": patches(count)}, question="?")
        for count in (8, 12)
    ]
    items = collate(pickle.loads(pickle.dumps(made)), pad_id=0).media["image"]
    assert items.grids == ((1, 2, 4), (1, 2, 6))
    assert items.mask.sum(1).tolist() == [8, 12]
    assert items.values[items.mask].shape == (20, 3)
    assert items.values.dtype == torch.uint8, "a quarter of what float32 would be to move"


def test_a_time_step_lasts_as_long_as_its_pictures() -> None:
    times = np.array([0.1, 0.6, 1.1, 1.6])
    assert patches(8).timed(times).step_s == pytest.approx(1.0)
    assert patches(8).timed(times[:1]).step_s == 0
