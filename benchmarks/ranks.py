"""Up to 1,024 ranks, simulated: how evenly a step is dealt, what planning costs, what is kept.

    python benchmarks/ranks.py [--quick]

Eight clips a rank and step, of 1 to 60 s as in `benchmarks/lengths.py`, in rows of 4096 positions
and micro-batches of at most 16384. Imbalance is what the busiest rank does above the mean; the
baseline deals the same clips to the ranks by turns. Nothing runs on ranks: every one of them plans
the whole step, and this is that plan, with that limit and without (`free`). The data's state is
what a checkpoint keeps to go on with the data.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from statistics import median
from typing import Annotated

import numpy as np
import typer
from lengths import HIDDEN, clip
from measured import Row, report

from affect_mllm.data.packing import Budget, Load, deal
from affect_mllm.train.keep.progress import Progress

RANKS = (8, 64, 256, 1024)
EACH, ROW_TOKENS = 8, 4096
BUDGET = Budget(tokens=16384)


def main(quick: Annotated[bool, typer.Option(help="One step, up to 256 ranks.")] = False) -> None:
    """Print one row a number of ranks."""
    steps, worlds = (1, RANKS[:-1]) if quick else (5, RANKS)
    rng = np.random.default_rng(0)
    rows: list[Row] = []
    prices: dict[tuple[int, bool], list[float]] = {}
    for world in worlds:
        drawn = [[clip(rng)[0] for _ in range(EACH * world)] for _ in range(steps)]
        found = [_dealt(loads, world, BUDGET) for loads in drawn]
        prices[world, True] = [seconds for _, seconds in found]
        prices[world, False] = [_dealt(loads, world, Budget())[1] for loads in drawn]
        turns = [_imbalance(_by_turns(loads, world)) for loads in drawn]
        ratios = [above / theirs for (above, _), theirs in zip(found, turns, strict=True)]
        rows.append(
            Row.of(f"imbalance of {world:,} ranks", "clips dealt by turns", ratios, "lower")
        )
        limited, free = (1e6 * median(prices[world, each]) for each in (True, False))
        ours = median(above for above, _ in found)
        print(f"{world:5} ranks: imbalance {ours:6.1%} ({median(turns):.1%} by turns)", end="")
        print(f", planning a clip {limited:.0f} µs, {free:.0f} µs free")
    few, many = worlds[0], worlds[-1]
    for limit, title in ((True, "with a limit"), (False, "free")):
        grown = [a / b for a, b in zip(prices[many, limit], prices[few, limit], strict=True)]
        what = f"planning a clip for {many:,} ranks, {title}"
        rows.append(Row.of(what, f"for {few} ranks", grown, "lower"))
    kept = _state_bytes(many) / _state_bytes(1)
    rows.append(Row.of(f"the data's state, {many:,} ranks", "one rank", [kept], "lower"))
    report(rows)


def _dealt(loads: Sequence[Load], world: int, budget: Budget) -> tuple[float, float]:
    """Imbalance of a step as it is dealt, and the CPU seconds of dealing one of its clips."""
    began = time.process_time()
    layout = deal(
        loads,
        _costs(loads),
        world=world,
        micro_batches=1,
        row_tokens=ROW_TOKENS,
        budget=budget,
    )
    spent = (time.process_time() - began) / len(loads)
    shares = [[each for micro in layout for each in micro[rank]] for rank in range(world)]
    costs = _costs(loads)
    return _imbalance([sum(costs[each] for each in share) for share in shares]), spent


def _by_turns(loads: Sequence[Load], world: int) -> list[float]:
    costs = _costs(loads)
    return [sum(costs[rank::world]) for rank in range(world)]


def _costs(loads: Sequence[Load]) -> list[float]:
    return [BUDGET.cost(load, HIDDEN) for load in loads]


def _imbalance(work: Sequence[float]) -> float:
    return max(work) / (sum(work) / len(work)) - 1


def _state_bytes(world: int, steps: int = 10_000) -> int:
    """What a checkpoint keeps of the data after so many steps, as JSON."""
    samples = steps * world * EACH
    return len(json.dumps({"step": steps, **Progress(samples * 500, samples, 0).state()}))


if __name__ == "__main__":
    typer.run(main)
