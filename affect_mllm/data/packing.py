"""Packing and balance: which examples share a row, a micro-batch and a rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush, heapreplace

import numpy as np
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from affect_mllm.types import modality_of

Bins = list[list[int]]
UNIT = 256  # positions of an encoder


@dataclass(frozen=True)
class Load:
    """What an example is expected to take: positions of the LLM, and units of encoder work."""

    tokens: int
    units: float = 0.0


@dataclass(frozen=True)
class Budget:
    """What one micro-batch of one rank may hold.

    `tokens` are LLM positions, padding included, `units` those of the encoders that run in the
    step (states from the cache take none); None is no limit. A unit is `UNIT` positions of an
    encoder: a picture of 224 × 224 in patches of 14, or five seconds of a speech encoder's 20 ms;
    `weights` say what a unit of a modality counts where not 1. `unit_tokens` says how many LLM
    positions cost as much as one unit, for balance alone. An example above a limit gets a
    micro-batch of its own.
    """

    tokens: PositiveInt | None = None
    units: PositiveFloat | None = None
    weights: dict[str, NonNegativeFloat] = field(default_factory=dict)
    unit_tokens: NonNegativeFloat = 6.0

    def units_of(self, positions: Mapping[str, int]) -> float:
        """Encoder units of a row's items, of which each takes so many positions."""
        counted = (
            count * self.weights.get(modality_of(name), 1.0) for name, count in positions.items()
        )
        return sum(counted) / UNIT

    def cost(self, load: Load, hidden_size: int) -> float:
        """Work of one example in LLM positions.

        A position costs 1 + length/(6·hidden size), the second part being attention (Narayanan
        et al. 2021, Megatron-LM, equation 3: 96BslH²(1 + s/6H + …)).
        """
        attention = 1 + load.tokens / (6 * hidden_size)
        return load.tokens * attention + self.unit_tokens * load.units

    def holds(self, tokens: float, units: float) -> bool:
        """Whether a micro-batch of this size is within both limits."""
        return tokens <= (self.tokens or np.inf) and units <= (self.units or np.inf)


def pack(lengths: Sequence[int], row_tokens: int) -> Bins:
    """Rows of example numbers, of about equal length and at most `row_tokens` where they allow it.

    As few rows as longest-first filling needs, then as equal as it makes them, since a batch is
    as wide as its longest row. `row_tokens=0` gives every example its own row (padding).
    """
    if not row_tokens or not lengths:
        return [[number] for number in range(len(lengths))]
    width = max(row_tokens, *lengths)
    for count in range(max(1, -(-sum(lengths) // width)), len(lengths) + 1):
        rows = _spread(lengths, count)
        if all(sum(lengths[i] for i in row) <= width for row in rows):
            return sorted(rows)
    return [[number] for number in range(len(lengths))]


def deal(
    loads: Sequence[Load],
    costs: Sequence[float],
    *,
    world: int,
    micro_batches: int,
    row_tokens: int,
    budget: Budget,
) -> list[list[list[int]]]:
    """`[micro-batch][rank]` → numbers of the examples: a pure function, alike on every rank.

    Every example is dealt once, and every rank gets equally many micro-batches: `micro_batches`,
    or the first number above it at which all are within the budget. Micro-batches packed into rows
    of `row_tokens` are balanced by cost, longest first to the least loaded (Graham 1969). Padded
    ones (`row_tokens=0`) hold examples of similar length, cut where the largest padded area is
    smallest.
    """
    if not loads:
        return [[[] for _ in range(world)]]
    bins: Bins | None = None
    while bins is None:
        if row_tokens:
            packed = _Packed(loads, budget, row_tokens)
            bins = _balanced(packed, costs, world * micro_batches)
        else:
            bins = _similar(loads, world * micro_batches, budget)
        micro_batches += bins is None
    weights = [sum(costs[i] for i in one) if row_tokens else _area(loads, one) for one in bins]
    return _seat(bins, weights, world)


def _spread(costs: Sequence[float], count: int) -> Bins:
    """`count` bins, the costliest item first into the least loaded one."""
    bins: Bins = [[] for _ in range(count)]
    sums = np.zeros(count)
    for number in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        least = int(sums.argmin())
        bins[least].append(number)
        sums[least] += costs[number]
    return [one for one in bins if one]


@dataclass(frozen=True)
class _Packed:
    """Examples that are packed into rows within a micro-batch."""

    loads: Sequence[Load]
    budget: Budget
    row_tokens: int

    def takes(self, members: Sequence[int], number: int) -> bool:
        """Whether a micro-batch of `members` has room for one more; an empty one always has."""
        if not members:
            return True
        chosen = [self.loads[i] for i in (*members, number)]
        tokens, units = sum(load.tokens for load in chosen), sum(load.units for load in chosen)
        if not self.budget.holds(tokens, units):
            return False
        return self.budget.tokens is None or self.budget.holds(self._area(chosen), units)

    def _area(self, chosen: Sequence[Load]) -> int:
        """LLM positions of the rows, all as wide as the widest."""
        lengths = [load.tokens for load in chosen]
        rows = pack(lengths, self.row_tokens)
        return len(rows) * max(sum(lengths[i] for i in row) for row in rows)


def _balanced(packed: _Packed, costs: Sequence[float], count: int) -> Bins | None:
    """`count` bins within the budget, or None; never None for as many bins as examples."""
    bins: Bins = [[] for _ in range(count)]
    by_cost = [(0.0, place) for place in range(count)]  # a heap, the least loaded bin first
    for number in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        full = []
        while by_cost and not packed.takes(bins[by_cost[0][1]], number):
            full.append(heappop(by_cost))
        if not by_cost:
            return None
        cost, place = by_cost[0]
        bins[place].append(number)
        heapreplace(by_cost, (cost + costs[number], place))
        for each in full:
            heappush(by_cost, each)
    return bins


def _similar(loads: Sequence[Load], count: int, budget: Budget) -> Bins | None:
    """At most `count` bins of neighbours by length, the largest padded area as small as can be."""
    order = sorted(range(len(loads)), key=lambda i: (-loads[i].tokens, i))
    low, high = max(load.tokens for load in loads), sum(load.tokens for load in loads)
    high = max(high, low * len(loads))
    if len(_cut(loads, order, high, budget)) > count:
        return None
    while low < high:
        middle = (low + high) // 2
        if len(_cut(loads, order, middle, budget)) <= count:
            high = middle
        else:
            low = middle + 1
    bins = _cut(loads, order, low, budget)
    return [*bins, *([] for _ in range(count - len(bins)))]


def _cut(loads: Sequence[Load], order: Sequence[int], area: int, budget: Budget) -> Bins:
    """Bins of neighbours in `order`; one above `area` or the budget holds a single example."""
    bins: Bins = []
    longest, units = 0, 0.0
    for number in order:
        load = loads[number]
        size = longest * (len(bins[-1]) + 1) if bins else 0
        if bins and size <= area and budget.holds(size, units + load.units):
            bins[-1].append(number)
            units += load.units
        else:  # the longest of its bin, since they come in that order
            bins.append([number])
            longest, units = load.tokens, load.units
    return bins


def _area(loads: Sequence[Load], members: Sequence[int]) -> int:
    return len(members) * max((loads[i].tokens for i in members), default=0)


def _seat(bins: Bins, weights: Sequence[float], world: int) -> list[list[list[int]]]:
    """Bins of similar weight share a micro-step; the heaviest goes to the rank with the least."""
    order = sorted(range(len(bins)), key=lambda i: (-weights[i], i))
    total = np.zeros(world)
    steps = []
    for start in range(0, len(order), world):
        share: Bins = [[] for _ in range(world)]
        ranks = np.argsort(total, kind="stable")
        for rank, number in zip(ranks, order[start : start + world], strict=True):
            share[int(rank)] = sorted(bins[number])
            total[int(rank)] += weights[number]
        steps.append(share)
    return [share for share in steps if any(share)]
