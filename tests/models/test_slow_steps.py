"""Long videos with fewer tokens: what is kept is the VLM's own, at its own place in time."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from affect_mllm.data.collate import collate
from affect_mllm.models.vlm.native_vlm import NativeVLM
from affect_mllm.models.vlm.slow_steps import SlowFastSteps
from affect_mllm.types import Batch
from tests import tiny_vlm as parts

POOLED = SlowFastSteps(every=2)


@pytest.fixture(scope="module", params=("qwen2_5_vl", "qwen3_vl"))
def folder(tiny, tmp_path_factory, request) -> Any:
    return parts.build(tiny, tmp_path_factory.mktemp("vlm"), request.param)


@pytest.fixture(scope="module")
def whole(folder) -> NativeVLM:
    return parts.model(folder)


@pytest.fixture(scope="module")
def pooled(folder) -> NativeVLM:
    node = {"_target_": "affect_mllm.models.vlm.slow_steps.SlowFastSteps", "every": 2}
    return parts.model(folder, pooling=node)


@torch.no_grad()
def logits(model: NativeVLM, batch: Batch) -> list[torch.Tensor]:
    """At every real position, by example."""
    every = batch.segments >= 0
    found = model(batch, lambda m, _, hidden: m.llm.logits(hidden.states[every]))
    return [found[batch.segments[every] == i] for i in range(len(batch.sample_ids))]


def places(model: NativeVLM, batch: Batch) -> tuple[list[int], torch.Tensor]:
    """Where the first example's video stands, and its positions in time, height and width."""
    at = [p for s in batch.spans for p in range(s.start, s.start + s.length) if s.example == 0]
    return at, model.positions(batch)[:, 0]


def test_tokens_are_the_videos_own_or_means_at_their_own_places(tiny, whole, pooled) -> None:
    """Three steps of 2 × 3 tokens: the middle one becomes two, of 2 × 2 and of 2 × 1."""
    full, short = (
        collate(parts.examples(tiny, each, ("video",)), pad_id=0) for each in (whole, pooled)
    )
    assert short.media["frame"].grids == ((3, 4, 6),)
    with torch.no_grad():
        every, fewer = (
            m.media_tokens(b)[0]["frame"][0] for m, b in ((whole, full), (pooled, short))
        )
    first, middle, last = every.split(6)
    halves = torch.stack([middle[[0, 1, 3, 4]].mean(0), middle[[2, 5]].mean(0)])
    torch.testing.assert_close(fewer, torch.cat([first, halves, last]), rtol=0, atol=1e-6)
    at, positions = places(whole, full)
    there, found = places(pooled, short)
    kept = [*range(6), 6, 8, *range(12, 18)]
    assert torch.equal(found[:, there], positions[:, [at[i] for i in kept]])
    assert torch.equal(found[:, there[-1] + 1 :], positions[:, at[-1] + 1 :]), "what follows"
    assert torch.equal(found[:, : there[0]], positions[:, : at[0]])


def test_where_nothing_is_dropped_the_logits_are_the_vlms_own(tiny, folder, whole, pooled) -> None:
    every = {"_target_": "affect_mllm.models.vlm.slow_steps.SlowFastSteps", "every": 1}
    names = ("wide", "video", "words", "high")
    expected = logits(whole, collate(parts.examples(tiny, whole, names), pad_id=0))
    same = parts.model(folder, pooling=every)
    got = logits(same, collate(parts.examples(tiny, same, names), pad_id=0))
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    fewer = logits(pooled, collate(parts.examples(tiny, pooled, names), pad_id=0))
    for number in (0, 2, 3):  # pictures and words, beside a pooled video
        assert torch.equal(fewer[number], expected[number])
    assert len(fewer[1]) == len(expected[1]) - 4


def test_a_rows_neighbours_change_nothing(tiny, pooled) -> None:
    made = parts.examples(tiny, pooled, ("video", "wide", "video"))
    packed = logits(pooled, collate(made, pad_id=0, row_tokens=1000))
    for example, got in zip(made, packed, strict=True):
        (alone,) = logits(pooled, collate([example], pad_id=0))
        assert (got - alone).abs().max() <= 1e-5 * alone.abs().max()


def test_it_is_learnt_through_and_generated_from(tiny, pooled) -> None:
    batch = collate(parts.examples(tiny, pooled, ("video", "wide")), pad_id=0)
    tokens = pooled.media_tokens(batch)[0]["frame"][0]
    expert = pooled.compressors["visual"].experts["general"]
    (gradient,) = torch.autograd.grad(tokens.square().sum(), [next(expert.parameters())])
    assert gradient.abs().sum() > 0
    asked = collate(parts.examples(tiny, pooled, ("video", "wide"), answer=None), pad_id=0)
    answers, _ = pooled.generate(asked, max_new_tokens=2, end_id=-1)
    assert len(answers) == 2


def test_a_clip_of_32_s_takes_less_than_half() -> None:
    """64 frames of 640 × 360 as Qwen2.5-VL-7B sees them: 8,064 tokens, of which 3,600 are left."""
    grid = (32, 24, 42)
    each = [len(step) for step in SlowFastSteps().kept(grid, 2)]
    assert sum(each) == 8 * 252 + 24 * 6 * 11
    assert POOLED.tokens(torch.randn(8064, 3), grid, 2).shape[0] == 16 * 252 + 16 * 66
