"""Packing loses nothing, doubles nothing and keeps rows within their length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affect_mllm.data.packing import UNIT, Budget, Load, deal, pack


def test_rows_by_hand() -> None:
    """33 tokens need three rows of 12, the longest example; longest first, into the shortest."""
    assert pack([3, 9, 4, 1, 6, 12], 10) == [[1, 0], [4, 2, 3], [5]]


def test_zero_means_a_row_each() -> None:
    assert sorted(pack([3, 9, 4], 0)) == [[0], [1], [2]]


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(0, 60))
def test_every_example_once_and_no_row_too_long(lengths: list[int], limit: int) -> None:
    rows = pack(lengths, limit)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    for row in rows:
        assert sum(lengths[i] for i in row) <= max(limit, *lengths) or len(row) == 1
    assert rows == pack(lengths, limit)


def test_rows_of_mixed_lengths_waste_little() -> None:
    lengths = np.random.default_rng(0).lognormal(4.6, 0.5, 64).astype(int).clip(20, 500).tolist()
    rows = pack(lengths, 1000)
    width = max(sum(lengths[i] for i in row) for row in rows)
    assert width <= 1000
    assert 1 - sum(lengths) / (len(rows) * width) < 0.05
    assert len(rows) <= -(-sum(lengths) // 1000) + 1


def dealt(loads: list[Load], world: int, micro: int, *, row_tokens: int, budget: Budget):
    costs = [budget.cost(load, 1000) for load in loads]
    return deal(
        loads, costs, world=world, micro_batches=micro, row_tokens=row_tokens, budget=budget
    )


loads = st.lists(st.builds(Load, st.integers(1, 90), st.floats(0, 9)), max_size=25)
budgets = st.builds(
    Budget,
    tokens=st.one_of(st.none(), st.integers(50, 200)),
    units=st.one_of(st.none(), st.floats(5, 20)),
)


@given(loads, st.integers(1, 4), st.integers(1, 3), st.sampled_from([0, 40, 120]), budgets)
def test_everything_is_dealt_once_and_within_the_budget(items, world, micro, row_tokens, budget):
    steps = dealt(items, world, micro, row_tokens=row_tokens, budget=budget)
    assert all(len(step) == world for step in steps)
    assert sorted(i for step in steps for share in step for i in share) == list(range(len(items)))
    for share in (share for step in steps for share in step if len(share) > 1):
        lengths = [items[i].tokens for i in share]
        rows = pack(lengths, row_tokens)
        area = len(rows) * max(sum(lengths[i] for i in row) for row in rows)
        assert budget.holds(area, sum(items[i].units for i in share) - 1e-9)
    assert steps == dealt(items, world, micro, row_tokens=row_tokens, budget=budget)
    within = [budget.tokens is None, budget.units is None]
    if all(within):
        assert len(steps) <= micro


def test_dealing_by_hand() -> None:
    """9 7 6 5 4 over two ranks, longest first to the least loaded: 9, 7, 7 + 6, 9 + 5, 13 + 4."""
    items = [Load(tokens) for tokens in (4, 9, 5, 7, 6)]
    ((first, second),) = dealt(items, 2, 1, row_tokens=1024, budget=Budget())
    assert sorted([sorted(items[i].tokens for i in share) for share in (first, second)]) == [
        [4, 6, 7],
        [5, 9],
    ]


def test_padding_of_packed_rows_counts_too() -> None:
    """1000 and 500 are no row of 1024, and two rows as wide as the longer are 2000 positions."""
    items = [Load(1000), Load(500)]
    for tokens, micro_batches in ((1500, 2), (1999, 2), (2000, 1)):
        steps = dealt(items, 1, 1, row_tokens=1024, budget=Budget(tokens=tokens))
        assert len(steps) == micro_batches
    (both,) = dealt(items, 1, 1, row_tokens=1500, budget=Budget(tokens=1500))
    assert both == [[0, 1]]


def test_padded_micro_batches_hold_similar_lengths() -> None:
    """90 | 10 × 9 has the areas 90 and 90; any other cut of the sorted lengths has more."""
    items = [Load(10)] * 5 + [Load(90)] + [Load(10)] * 4
    steps = dealt(items, 1, 2, row_tokens=0, budget=Budget())
    assert sorted(len(share) for (share,) in steps) == [1, 9]


def test_encoder_work_counts() -> None:
    """Clips without text cost too, and a limit on units alone asks for more micro-batches."""
    items = [Load(10, 8.0), Load(10, 8.0), Load(58), Load(58)]
    ((first, second),) = dealt(items, 2, 1, row_tokens=1024, budget=Budget(unit_tokens=6.0))
    assert sorted(first) != [0, 1]
    assert sorted(second) != [0, 1]
    steps = dealt(items, 1, 1, row_tokens=1024, budget=Budget(units=8.0))
    assert len(steps) == 2
    given = {"face": 3 * UNIT, "audio.2": UNIT // 2}
    assert Budget().units_of(given) == 3.5
    assert Budget(weights={"audio": 4.0}).units_of(given) == 5.0


def test_the_cost_of_an_example_is_megatrons() -> None:
    """Attention adds s/6H to the work of a position: as much again at 6 000 of 1 000 wide."""
    assert Budget().cost(Load(6000), 1000) == pytest.approx(12_000)
    assert Budget(unit_tokens=2).cost(Load(0, 3.0), 1000) == 6


@given(st.lists(st.integers(1, 500), min_size=1, max_size=40), st.integers(2, 4))
def test_ranks_are_balanced_as_well_as_longest_first_can(lengths, world) -> None:
    """The busiest rank is above the mean by less than its last, and so shortest, example."""
    items, budget = [Load(length) for length in lengths], Budget()
    costs = [budget.cost(item, 1000) for item in items]
    for share in dealt(items, world, 1, row_tokens=1024, budget=budget)[0]:
        above = sum(costs[i] for i in share) - sum(costs) / world
        assert not share or above <= min(costs[i] for i in share) + 1e-6
