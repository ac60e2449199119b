"""The mixture: decided by seed and place alone, every pass visits every row."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affect_mllm.data import manifest
from affect_mllm.data.mixture import Mixing, Mixture, Source, check_instructions
from affect_mllm.data.rows import Rows
from affect_mllm.data.template import Instruction
from affect_mllm.types import AffectError, ConfigError, Sample


@pytest.fixture
def corpora(tmp_path: Path) -> list[Source]:
    """Seven rows of which five train, and four rows asked about three times as often."""
    for name, count, split in (("a", 5, "train"), ("b", 4, "train")):
        rows = [Sample(f"{name}{i}", tmp_path, subtitle="x", split=split) for i in range(count)]
        if name == "a":
            rows += [Sample(f"test{i}", tmp_path, subtitle="x", split="test") for i in range(2)]
        manifest.write(rows, tmp_path / f"{name}.jsonl")
    return [
        Source(str(tmp_path / "a.jsonl"), "train", {"label": 3, "describe": 1}),
        Source(str(tmp_path / "b.jsonl"), "train", {"label": 1}, weight=3.0),
    ]


def drawn(mixture: Mixture) -> list[tuple[str, str, tuple[int, int]]]:
    return [
        (d.sample.id, d.instruction, d.seed) for d in map(mixture.__getitem__, range(len(mixture)))
    ]


def test_a_place_is_decided_by_seed_and_place_alone(corpora) -> None:
    long, short = Mixture(corpora, seed=4, places=60), Mixture(corpora, seed=4, places=20)
    assert drawn(long)[:20] == drawn(short)
    order = [37, 3, 37, 59, 0]
    assert [drawn(long)[i] for i in order] == [
        (long[i].sample.id, long[i].instruction, long[i].seed) for i in order
    ]
    ids = [row[0] for row in drawn(Mixture(corpora, seed=5, places=60))]
    assert ids != [row[0] for row in drawn(long)]


def test_every_pass_visits_every_row_once_in_another_order(corpora) -> None:
    mixture = Mixture(corpora[:1], seed=1, places=50)
    ids = [row[0] for row in drawn(mixture)]
    passes = [tuple(ids[i : i + 5]) for i in range(0, 50, 5)]
    for one in passes:
        assert sorted(one) == ["a0", "a1", "a2", "a3", "a4"], "no test row, none twice"
    assert len(set(passes)) > 5


def test_passes_hold_inside_a_mixture_too(corpora) -> None:
    ids = [row[0] for row in drawn(Mixture(corpora, seed=1, places=200))]
    mine = [i for i in ids if i.startswith("b")]
    for start in range(0, len(mine) - 3, 4):
        assert sorted(mine[start : start + 4]) == ["b0", "b1", "b2", "b3"]


def test_weights_are_shares(corpora) -> None:
    rows = drawn(Mixture(corpora, seed=2, places=4000))
    count = Counter(row[0][0] for row in rows)
    assert count["b"] / 4000 == pytest.approx(0.75, abs=0.04)
    asked = Counter(row[1] for row in rows if row[0].startswith("a"))
    assert asked["describe"] / asked.total() == pytest.approx(0.25, abs=0.06)


def test_samples_are_all_rows_that_can_be_drawn(corpora) -> None:
    found = {sample.id for sample in Mixture([*corpora, corpora[0]], seed=1, places=3).samples()}
    assert found == {*(f"a{i}" for i in range(5)), *(f"b{i}" for i in range(4))}


def test_wrong_sources_are_named(corpora) -> None:
    with pytest.raises(ConfigError, match="at least one source"):
        Mixture([], seed=1, places=3)
    with pytest.raises(AffectError, match=r"a\.jsonl(.|\n)*'nosplit'"):
        Mixture([Source(corpora[0].manifest, "nosplit", {"label": 1})], seed=1, places=3)
    with pytest.raises(ConfigError, match=r"sources\.here(.|\n)*describe"):
        check_instructions({"here": corpora[0]}, {"label": Instruction(("?",), "x")})


def sources_of(mixture: Mixture) -> np.ndarray:
    """The first letter of every place's row: whose source it is."""
    return np.array([mixture[place].sample.id[0] for place in range(len(mixture))])


@pytest.fixture
def three(tmp_path: Path) -> list[Source]:
    """Sources of 10, 40 and 160 rows."""
    found = []
    for name, count in (("a", 10), ("b", 40), ("c", 160)):
        rows = [Sample(f"{name}{i}", tmp_path, subtitle="x", split="train") for i in range(count)]
        manifest.write(rows, tmp_path / f"{name}.jsonl")
        found.append(Source(str(tmp_path / f"{name}.jsonl"), "train", {"label": 1}))
    return found


@pytest.mark.parametrize(
    ("mixing", "shares"),
    [
        (Mixing(), (1 / 3, 1 / 3, 1 / 3)),
        (Mixing(by_size=True), (10 / 210, 40 / 210, 160 / 210)),
        (Mixing(by_size=True, max_rows=40), (10 / 90, 40 / 90, 40 / 90)),
        (Mixing(by_size=True, temperature=2), (1 / 7, 2 / 7, 4 / 7)),
    ],
)
def test_shares_by_hand(three, mixing: Mixing, shares: tuple[float, ...]) -> None:
    """T5's mixing: examples-proportional with a limit, and a temperature (roots 1 : 2 : 4)."""
    found = mixing.shares(np.ones(3), [10, 40, 160])
    assert found == pytest.approx(shares)
    drawn = sources_of(Mixture(three, seed=1, places=6000, mixing=mixing))
    for name, share in zip("abc", shares, strict=True):
        assert (drawn == name).mean() == pytest.approx(share, abs=0.03)


def test_a_curriculum_changes_the_shares_at_its_step(three) -> None:
    a, b, _ = three
    a = replace(a, weight={0: 1.0, 100: 0.0, 200: 3.0})
    b = replace(b, weight={50: 1.0})
    drawn = sources_of(Mixture([a, b], seed=1, places=300 * 20, step_places=20))
    assert (drawn[:1000] == "a").all(), "b begins with step 50"
    assert (drawn[1000:2000] == "a").mean() == pytest.approx(0.5, abs=0.05)
    assert (drawn[2000:4000] == "b").all()
    assert (drawn[4000:] == "a").mean() == pytest.approx(0.75, abs=0.05)


def test_a_source_that_is_used_up_gives_its_places_to_the_others(three) -> None:
    a, b, c = three
    limited = [replace(a, max_passes=2.5), replace(b, max_passes=1), replace(c, weight=0.5)]
    mixture = Mixture(limited, seed=1, places=9000)
    count = Counter(sources_of(mixture))
    assert count == {"a": 25, "b": 40, "c": 9000 - 65}
    rows = Counter(mixture[place].sample.id for place in range(9000))
    assert all(rows[f"b{i}"] == 1 for i in range(40))
    assert {rows[f"a{i}"] for i in range(10)} == {2, 3}
    ids = [mixture[place].sample.id for place in (8999, 4097, 4095, 0)]
    again = Mixture(limited, seed=1, places=9000)
    assert [again[place].sample.id for place in (8999, 4097, 4095, 0)] == ids


@settings(max_examples=40)
@given(
    limits=st.lists(st.one_of(st.none(), st.floats(0.1, 700)), min_size=2, max_size=2),
    step=st.integers(0, 9000),
    places=st.integers(1, 9000),
)
def test_places_of_a_longer_mixture_begin_with_those_of_a_shorter_one(
    three_once, limits, step, places
) -> None:
    """Across blocks, curricula and sources that are used up on the way."""
    a, b, c = three_once
    sources = [
        replace(a, max_passes=limits[0]),
        replace(b, max_passes=limits[1], weight={0: 1, step: 2}),
        c,
    ]
    long = Mixture(sources, seed=2, places=9000)
    short = Mixture(sources, seed=2, places=places)
    for place in {0, places // 2, places - 1}:
        assert short[place] == long[place]
    for number, limit in enumerate(limits):
        most = np.inf if limit is None else limit * len(long.rows[number])
        assert long._before[-1, number] <= most
    assert long._before[-1].sum() == 9000


@pytest.fixture(scope="module")
def three_once(tmp_path_factory) -> list[Source]:
    return three.__wrapped__(tmp_path_factory.mktemp("three"))  # type: ignore[attr-defined]


def test_a_mixture_that_runs_dry_says_where(three) -> None:
    with pytest.raises(ConfigError, match=r"place 25 (.|\n)*max_passes"):
        Mixture([replace(three[0], max_passes=2.5)], seed=1, places=26)
    late = replace(three[0], weight={5: 1.0})
    with pytest.raises(ConfigError, match=r"step 0 on(.|\n)*weight"):
        Mixture([late], seed=1, places=26)
    with pytest.raises(ConfigError, match="step"):
        Mixture([replace(three[0], weight={-1: 1.0})], seed=1, places=3)


def test_rows_are_parsed_only_when_they_are_drawn(three, monkeypatch) -> None:
    """A million rows must not be gone through at the start."""
    seen = []
    take = Rows.__getitem__
    monkeypatch.setattr(Rows, "__getitem__", lambda s, i: seen.append(i) or take(s, i))
    mixture = Mixture(three, seed=1, places=500)
    assert not seen
    assert mixture[77].sample
    assert len(seen) == 1
