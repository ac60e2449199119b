"""What ranks tell each other about a step: the same totals everywhere, idle items, few words."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from affect_mllm.data.loader import StepBatch
from affect_mllm.train.layout import host_group
from affect_mllm.train.loss.objective import Objective, Terms
from affect_mllm.train.loss.token import TokenLoss
from affect_mllm.train.step.agree import SIZE, Agreed, Kind, agree
from affect_mllm.train.step.tally import Sums, Tally
from affect_mllm.types import Batch, MediaBatch

LABELS = (-100, 3, 4, -100)
STATES = MediaBatch(torch.ones(2, 5, 7), torch.ones(2, 5).bool(), (0, 1), encoded=True)
FRAMES = MediaBatch(
    torch.ones(1, 3, 3, 8, 8, dtype=torch.uint8), torch.ones(1, 3).bool(), (0,), encoded=False
)
PATCHES = MediaBatch(
    torch.ones(2, 24, 12, dtype=torch.uint8),
    torch.arange(24).expand(2, 24) < torch.tensor([[16], [24]]),
    (0, 1),
    False,
    ((1, 4, 4), (1, 4, 6)),
    (0.75, 1.0),
)


class Hosts:
    """What the ranks tell, one after another: all but the last round is heard by nobody yet."""

    def __init__(self) -> None:
        self.numbers: list[list[float]] = []
        self.words: list[Any] = []

    def all(self, ranks: list[Any], do: Any) -> list[Any]:
        """What `do(rank, engine)` gives on every rank when all have told theirs."""
        world = len(ranks)
        for _ in range(3):  # numbers, then words that are told because of them, then answers
            self.heard, self.listened = self.numbers[-world:], self.words[-world:]
            answers = [do(rank, _Rank(self, world, place)) for place, rank in enumerate(ranks)]
        return answers


class _Rank:
    module: Any = None

    def __init__(self, hosts: Hosts, world: int, place: int) -> None:
        self.hosts, self.world, self.place = hosts, world, place

    def told(self, numbers: list[float]) -> list[list[float]]:
        self.hosts.numbers.append([float(number) for number in numbers])
        return self.hosts.heard or [list(map(float, numbers))] * self.world

    def gather(self, item: Any) -> list[Any]:
        self.hosts.words.append(item)
        return self.hosts.listened or [item] * self.world


def micro(**media: MediaBatch) -> Batch:
    words = torch.zeros(1, 4, dtype=torch.long)
    return Batch(words, torch.tensor([LABELS]), words, words, (), media, ("a",))


def agreed(hosts: Hosts, *steps: StepBatch) -> list[Agreed]:
    objective = Objective({"lm": TokenLoss()})
    return hosts.all(list(steps), lambda step, engine: agree(engine, objective, step))


@pytest.mark.parametrize("items", [STATES, FRAMES, PATCHES])
def test_a_kind_is_heard_as_it_was_told(items: MediaBatch) -> None:
    kind = Kind.of(items)
    assert len(kind.numbers()) == SIZE
    told = torch.tensor(kind.numbers(), dtype=torch.float64).tolist()
    assert Kind.heard(told) == kind
    made = kind.item()
    real = int(items.mask[0].sum())
    assert made.values.shape == (1, real, *items.values.shape[2:])
    assert (made.values.dtype, made.encoded) == (items.values.dtype, items.encoded)
    assert (made.grids, made.steps_s) == (items.grids[:1], items.steps_s[:1])
    assert Kind.heard([0.0] * SIZE) is None


def test_every_rank_runs_the_same_modalities_and_has_the_same_totals_without_a_word() -> None:
    one = StepBatch((micro(face=FRAMES), micro()), 4, 2, (), imbalance=0.5, cut={"turns": 1})
    two = StepBatch((micro(audio=STATES), micro(image=PATCHES)), 4, 3, (), unasked=2, imbalance=1.0)
    hosts = Hosts()
    first, second = agreed(hosts, one, two)
    for each in (first, second):
        assert each.counts == Counter(lm=8)
        assert (each.tokens, each.skipped) == (8, ())
        numbers = each.numbers
        assert (numbers["examples"], numbers["unasked"], numbers["cut_turns"]) == (5, 2, 1)
        assert numbers["imbalance"] == pytest.approx(0.75)
        assert isinstance(numbers["examples"], int)
        there = [{*batch.media, *batch.idle} for batch in each.micro_batches]
        assert there == [{"face", "audio"}, {"image"}]
    assert torch.equal(second.micro_batches[0].idle["face"].values, torch.zeros_like(FRAMES.values))
    assert first.micro_batches[1].idle["image"].grids == ((1, 4, 4),)
    assert hosts.words == []


def test_bad_samples_are_told_in_words() -> None:
    hosts = Hosts()
    one, two = StepBatch((micro(),), 2, 1, (("b", "broken"),)), StepBatch((micro(),), 2, 1, ())
    assert [each.skipped for each in agreed(hosts, one, two)] == [(("b", "broken"),)] * 2
    assert agreed(hosts, one, two)[0].numbers["skipped"] == 1


class Gated:
    """As much of a model as its gates."""

    modalities = ("face", "audio", "multi")

    def gate_names(self, modality: str) -> tuple[str, ...]:
        return {"face": ("general", "emotion"), "audio": ("general",)}.get(modality, ())


def test_losses_and_gates_of_ranks_that_saw_different_modalities_are_added_up() -> None:
    objective, hosts = Objective({"lm": TokenLoss()}), Hosts()
    one = Sums({"lm": 2.0}, {"face": {"general": 0.25, "emotion": 0.75}})
    two = Sums({"lm": 3.0}, {"audio": {"general": 1.0}})

    def over(sums: Sums, engine: Any) -> Sums:
        engine.module = Gated()
        return sums.over_ranks(engine, objective)

    assert hosts.all([one, two], over)[1] == Sums({"lm": 5.0}, {**one.gates, **two.gates})
    assert hosts.words == []
    two.broken = ["x"]
    assert [found.broken for found in hosts.all([one, two], over)] == [["x"]] * 2


def test_a_tally_adds_up_and_names_what_is_broken() -> None:
    tally = Tally()
    value = torch.tensor(1.5)
    gates = {"face": torch.tensor([0.5, 0.5])}
    names = {"face": ("general", "emotion")}
    for loss in (value, value * torch.inf):
        tally.add(("s",), Terms({"lm": value}, {"lm": value}, gates, names, {}), loss)
    found = tally.read()
    assert found == Sums({"lm": 3.0}, {"face": {"general": 1.0, "emotion": 1.0}}, ["s"])


def test_hosts_talk_by_gloo_where_the_device_is_a_gpu(monkeypatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(host_group.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(host_group.dist, "new_group", lambda **how: asked.append(how) or "group")
    host_group._gloo.cache_clear()
    try:
        wait: Any = 30
        assert host_group.host_group(torch.device("cpu"), wait) is None
        assert asked == []
        for _ in range(2):
            assert host_group.host_group(torch.device("cuda", 0), wait) == "group"
        assert asked == [{"backend": "gloo", "timeout": 30}]
    finally:
        host_group._gloo.cache_clear()
