"""Padding, imbalance and waiting on clips of 1 to 60 s, planned by true lengths or by a constant.

    python benchmarks/lengths.py [--quick]

Clips of log-uniform length, 640 × 360, at 2 pictures a second and at most 64, become what
`PatchTransform` cuts for Qwen2.5-VL-7B: patches for its tower and tokens for its LLM, with 40 to
300 tokens of text beside them. Each step is laid out twice by `deal`, within 16384 positions a
micro-batch: by these numbers, and by the constant that was planned before there were any (256
tokens and 8 units a clip). Both layouts are then judged by the true numbers. No model runs: work is
that of `Budget.cost`, and a rank waits for the busiest one at the end of a step (DDP) or of every
micro-step (ZeRO-3 and FSDP2, which gather each layer together).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import typer

from affect_mllm.data.packing import UNIT, Budget, Load, deal, pack
from affect_mllm.media.patches import PatchTransform
from affect_mllm.media.sampling import Sampling

HIDDEN = 3584
SAMPLING = Sampling("fps", fps=2.0, max_frames=64)
CUT = PatchTransform(pixels=(3136, 200704))
MERGE = 4  # patches a token
CONSTANT = (256, 8.0)  # tokens and units of a clip, whatever its length
COLUMNS = ("micro-batches", "padding", "imbalance", "waiting, step", "waiting, micro", "largest")


def main(quick: Annotated[bool, typer.Option(help="5 steps.")] = False) -> None:
    """Print a row for each layout and way of planning."""
    steps, size = (5 if quick else 50), 64
    rng = np.random.default_rng(0)
    drawn = [[clip(rng) for _ in range(size)] for _ in range(steps)]
    print(f"{steps} steps of {size} clips; waiting is a share of the ranks' time")
    print(f"{'ranks':>5} {'rows':>7} {'planned by':>12}" + "".join(f"{c:>16}" for c in COLUMNS))
    for ranks in (1, 8):
        for row_tokens in (0, 4096):
            for name in ("length", "a constant"):
                found = np.mean([_judged(s, ranks, row_tokens, name) for s in drawn], axis=0)
                rows = str(row_tokens) if row_tokens else "padded"
                micro, padding, imbalance, step, each, largest = found
                print(
                    f"{ranks:5} {rows:>7} {name:>12}{micro:16.1f}{padding:16.1%}{imbalance:16.1%}"
                    f"{step:16.1%}{each:16.1%}{largest:16.0f}"
                )


def clip(rng: np.random.Generator) -> tuple[Load, Load]:
    """What a clip takes, and what it was planned to take."""
    length_s = float(np.exp(rng.uniform(0, np.log(60))))
    frames = len(SAMPLING.moments(0.0, length_s))
    patches = int(np.prod(CUT.grid(frames, 360, 640)))
    text = int(rng.integers(40, 300))
    constant, units = CONSTANT
    return Load(patches // MERGE + text, patches / UNIT), Load(constant + text, units)


def _judged(
    clips: Sequence[tuple[Load, Load]], ranks: int, row_tokens: int, planned_by: str
) -> list[float]:
    """One step's numbers by `COLUMNS`; the last one is the largest micro-batch in positions."""
    budget = Budget(tokens=16384)
    true = [load for load, _ in clips]
    planned = true if planned_by == "length" else [guess for _, guess in clips]
    layout = deal(
        planned,
        [budget.cost(load, HIDDEN) for load in planned],
        world=ranks,
        micro_batches=1,
        row_tokens=row_tokens,
        budget=budget,
    )
    areas, work = [], np.zeros((len(layout), ranks))
    for number, shares in enumerate(layout):
        for rank, members in enumerate(shares):
            areas.append(_area([true[i].tokens for i in members], row_tokens))
            work[number, rank] = sum(budget.cost(true[i], HIDDEN) for i in members)
    of_ranks, mean = work.sum(0), work.sum() / ranks
    busiest = work.max(1).sum()
    padding = 1 - sum(load.tokens for load in true) / sum(areas)
    imbalance = of_ranks.max() / mean - 1
    waiting = 1 - mean / of_ranks.max(), 1 - mean / busiest
    return [len(layout), padding, imbalance, *waiting, max(areas)]


def _area(lengths: Sequence[int], row_tokens: int) -> int:
    """LLM positions of a micro-batch, padding included."""
    rows = pack(lengths, row_tokens)
    return len(rows) * max((sum(lengths[i] for i in row) for row in rows), default=0)


if __name__ == "__main__":
    typer.run(main)
