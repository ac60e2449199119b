"""The steps of a run: the same samples in the same order after a resume, on any layout."""

from __future__ import annotations

import gc
import os
from collections import Counter
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affect_mllm.data.example import TooLong
from affect_mllm.data.loader import BatchPlan, StepBatch, step_loader
from affect_mllm.data.mixture import Mixing, Mixture, Source
from affect_mllm.data.packing import Budget
from affect_mllm.types import CheckpointError, ConfigError, DataError
from tests.data import corpora

STEPS = 5
# torch warns of more loader processes than cores; three of them are what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker")


@pytest.fixture(scope="module")
def manifests(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("corpora")
    return [corpora.write(folder, name, count) for name, count in (("a", 7), ("b", 4), ("c", 23))]


weights = st.one_of(
    st.floats(0.1, 5.0),
    st.fixed_dictionaries({0: st.floats(0.1, 3.0), 2: st.floats(0.0, 3.0)}),
)
asked = st.sampled_from([{"label": 1.0}, {"label": 2.0, "describe": 1.0}])


@st.composite
def mixtures(draw, manifests: list[Path]) -> Mixture:
    """Any number of sources with weights, a curriculum and limits; the last has neither."""
    chosen = draw(st.lists(st.sampled_from(manifests), min_size=1, max_size=3, unique=True))
    sources = [
        Source(
            str(path),
            "train",
            draw(asked),
            weight=draw(weights) if path != chosen[-1] else draw(st.floats(0.1, 5.0)),
            max_passes=None if path == chosen[-1] else draw(st.sampled_from([None, 0.5, 2.0])),
        )
        for path in chosen
    ]
    mixing = Mixing(draw(st.booleans()), draw(st.sampled_from([None, 5])), draw(st.floats(0.5, 4)))
    size = draw(st.integers(1, 9))
    seed = draw(st.integers(0, 5))
    return Mixture(sources, seed=seed, places=STEPS * size, step_places=size, mixing=mixing)


def plans(mixture: Mixture, world: int, row_tokens: int, tokens: int | None) -> list[BatchPlan]:
    size = len(mixture) // STEPS
    one = BatchPlan(size, 2, row_tokens, world=world, budget=Budget(tokens=tokens))
    return [replace(one, rank=rank) for rank in range(world)]


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_resumed_run_sees_what_an_uninterrupted_one_sees(manifests, data) -> None:
    """Random mixtures; 0, 1 and 3 loader processes; 1 and 2 ranks; a resume at any step."""
    mixture = data.draw(mixtures(manifests))
    row_tokens, tokens = data.draw(st.sampled_from([(0, None), (120, None), (120, 400)]))
    first = data.draw(st.integers(0, STEPS))
    members: dict[int, list[Counter]] = {}
    for world in (1, 2):
        whole = []
        for plan in plans(mixture, world, row_tokens, tokens):
            steps = corpora.dataset(mixture, plan)
            straight = corpora.told([steps[step] for step in range(STEPS)])
            workers = data.draw(st.sampled_from([0, 1, 3]))
            resumed = step_loader(steps, first_step=first, steps=STEPS, workers=workers)
            assert corpora.told(list(resumed)) == straight[first:]
            whole.append(straight)
        members[world] = [Counter(chain(*parts)) for parts in zip(*whole, strict=True)]
    assert members[1] == members[2], "a step's members do not depend on the layout"
    assert sum(map(len, members[1])) > 0


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("world", [1, 2])
def test_a_resume_at_every_step_with_every_layout(manifests, workers: int, world: int) -> None:
    sources = [
        Source(str(manifests[0]), "train", {"label": 1}, weight={0: 1, 3: 0.2}),
        Source(str(manifests[2]), "train", {"label": 1, "describe": 2}),
    ]
    mixture = Mixture(sources, seed=3, places=STEPS * 6, step_places=6)
    for plan in plans(mixture, world, 200, None):
        steps = corpora.dataset(mixture, plan)
        straight = corpora.told([steps[step] for step in range(STEPS)])
        for first in range(STEPS):
            loader = step_loader(steps, first_step=first, steps=STEPS, workers=workers)
            assert corpora.told(list(loader)) == straight[first:]


def ranks(mixture: Mixture, plan: BatchPlan, step: int, **options) -> list[StepBatch]:
    return [
        corpora.dataset(mixture, replace(plan, rank=rank), **options)[step]
        for rank in range(plan.world)
    ]


def test_ranks_get_equally_many_micro_batches_and_one_may_have_nothing(manifests) -> None:
    mixture = Mixture([Source(str(manifests[2]), "train", {"label": 1})], seed=1, places=40)
    for size, world in ((1, 2), (5, 3), (7, 4), (40, 3)):
        for budget in (Budget(), Budget(tokens=120)):
            plan = BatchPlan(size, 2, 150, world=world, budget=budget)
            found = ranks(mixture, plan, 0)
            assert len({len(each.micro_batches) for each in found}) == 1
            assert sum(each.examples for each in found) == size
            names = Counter(n for each in found for b in each.micro_batches for n in b.sample_ids)
            assert names == Counter(mixture[place].sample.id for place in range(size))
            assert len({each.imbalance for each in found}) == 1
    idle = ranks(mixture, BatchPlan(1, world=2), 0)
    assert sorted(each.examples for each in idle) == [0, 1]
    (empty,) = next(each for each in idle if not each.examples).micro_batches
    assert empty.input_ids.shape == (1, 1)
    assert (empty.labels == -100).all()
    assert not empty.sample_ids


def test_a_budget_bounds_every_micro_batch(manifests) -> None:
    """Of all ranks; only a single example may be above it."""
    mixture = Mixture([Source(str(manifests[2]), "train", {"label": 1})], seed=1, places=23)
    for row_tokens in (0, 64, 1000):
        plan = BatchPlan(23, 1, row_tokens, world=2, budget=Budget(tokens=300))
        for found in ranks(mixture, plan, 0):
            assert len(found.micro_batches) > 3
            for batch in found.micro_batches:
                real = int((batch.segments >= 0).sum())
                size = batch.segments.numel() if row_tokens == 0 else real
                assert size <= 300 or len(batch.sample_ids) == 1


def test_what_could_not_be_used_is_counted_by_one_rank(manifests) -> None:
    mixture = Mixture([Source(str(manifests[2]), "train", {"label": 1})], seed=1, places=23)
    whole = ranks(mixture, BatchPlan(23, world=1), 0)[0]
    assert not whole.cut
    lengths = sorted(len(ids) for step in corpora.told([whole]) for _, ids in step)
    found = ranks(mixture, BatchPlan(23, world=2), 0, max_tokens=lengths[11])
    cut = sum(each.cut.get("subtitle", 0) for each in found)
    assert cut == sum(length > lengths[11] for length in lengths)
    assert sum(each.examples for each in found) == 23
    found = ranks(mixture, BatchPlan(23, world=2), 0, max_tokens=20)
    assert sum(each.examples for each in found) == 0
    skipped = [pair for each in found for pair in each.skipped]
    assert sorted(name for name, _ in skipped) == sorted(mixture[i].sample.id for i in range(23))
    assert sum(each.too_long for each in found) == 23
    assert all("max_tokens" in reason for _, reason in skipped)
    row = found[0].numbers()
    assert (row["examples"], row["too_long"]) == (0, len(found[0].skipped))


def test_a_row_with_a_wrong_label_is_named_by_one_rank(tmp_path, manifests) -> None:
    path = corpora.write(tmp_path, "d", 6)
    text = path.read_text().replace('"emotion": "sad"', '"mood": "sad"')
    path.write_text(text)
    mixture = Mixture([Source(str(path), "train", {"label": 1})], seed=1, places=6)
    found = ranks(mixture, BatchPlan(6, world=3), 0)
    named = [name for each in found for name, _ in each.skipped]
    assert sorted(named) == ["d0", "d2", "d4"]
    assert sum(each.examples for each in found) == 3
    assert all(each.too_long == 0 for each in found)


def test_padding_and_imbalance_by_hand(manifests) -> None:
    mixture = Mixture([Source(str(manifests[2]), "train", {"label": 1})], seed=1, places=6)
    (padded,) = ranks(mixture, BatchPlan(6, 1, 0), 0)
    lengths = [len(ids) for _, ids in corpora.told([padded])[0]]
    assert padded.padding == pytest.approx(1 - sum(lengths) / (6 * max(lengths)))
    assert padded.imbalance == 0
    (packed,) = ranks(mixture, BatchPlan(6, 1, 10_000), 0)
    assert packed.padding == 0
    budget = Budget(unit_tokens=0)
    plan = BatchPlan(2, 1, 10_000, world=2, budget=budget, hidden_size=1 << 40)
    work = [len(ids) for each in ranks(mixture, plan, 0) for _, ids in corpora.told([each])[0]]
    assert ranks(mixture, plan, 0)[0].imbalance == pytest.approx(max(work) / (sum(work) / 2) - 1)


def test_nothing_is_left_when_every_source_is_used_up(manifests) -> None:
    sources = [Source(str(manifests[1]), "train", {"label": 1}, max_passes=2)]
    Mixture(sources, seed=1, places=8)
    with pytest.raises(Exception, match="nothing is left"):
        Mixture(sources, seed=1, places=9)
    with pytest.raises(DataError, match="nosplit"):
        Mixture([replace(sources[0], split="nosplit")], seed=1, places=1)


class Refusing(torch.utils.data.Dataset):
    """Says what is wrong with the second step."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getitem__(self, step: int) -> int:
        if step == 1:
            raise self.error
        return step


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", [ConfigError, DataError, CheckpointError, TooLong])
def test_an_error_of_ours_comes_out_of_a_worker_as_it_is(kind: type, workers: int) -> None:
    error = kind("here", "this", expected="that", fix="do it")
    loader = step_loader(Refusing(error), first_step=0, steps=3, workers=workers)  # type: ignore[arg-type]
    seen: list[object] = []
    with pytest.raises(kind) as raised:
        seen.extend(iter(loader))
    assert seen == [0]
    assert type(raised.value) is kind
    assert str(raised.value) == "here: this\n  expected: that\n  to mend it: do it"
    assert (raised.value.where, raised.value.fix) == ("here", "do it")


class Ends:
    """Says in a file which process ended it; only the garbage collector can, since it is a ring."""

    def __init__(self, log: Path) -> None:
        self.log, self.itself = log, self

    def __del__(self) -> None:
        with self.log.open("a") as file:
            file.write(f"{os.getpid()}\n")


class Collects(torch.utils.data.Dataset):
    def __getitem__(self, step: int) -> int:
        return gc.collect()


def test_a_worker_does_not_end_what_the_process_before_it_left(tmp_path) -> None:
    """The end of a decoded frame waits for threads that a forked worker does not have."""
    log = tmp_path / "ended"
    gc.disable()
    try:
        Ends(log)
        list(step_loader(Collects(), first_step=0, steps=4, workers=2))  # type: ignore[arg-type]
    finally:
        gc.enable()
    assert not log.exists()
    gc.collect()
    assert log.read_text() == f"{os.getpid()}\n"
