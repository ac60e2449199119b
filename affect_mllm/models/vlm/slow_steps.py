"""Fewer tokens of long videos, behind the experts: some time steps in full, the others pooled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from pydantic import PositiveInt
from torch.nn.functional import avg_pool2d

from affect_mllm.models.vlm.rope import VIDEO, Grid, Shown

# Of a video's grid, by time step: the numbers of the step's tokens whose places are kept.
Kept = Callable[[Grid], list[torch.Tensor]]


@dataclass(frozen=True)
class SlowFastSteps:
    """Every `every`th time step of a video keeps its tokens, from the first on; of the others
    `pool × pool` neighbours are averaged to one, fewer at the edges.

    Slow-fast pooling after HumanOmni (arXiv 2501.15111; HumanMLLM/HumanOmni@26fa491), here of a
    VLM's merged tokens, in the order of time, so that no step loses its own. A pooled token has the
    position of its square's first; positions go on as if nothing had been pooled, so that times
    stay what the VLM was trained on. `every=1` drops nothing. Pictures are left alone.
    """

    every: PositiveInt = 4
    pool: PositiveInt = 2

    def kept(self, grid: Grid, merge: int) -> list[torch.Tensor]:
        """Numbers of the kept tokens in each time step, ascending, `[K]` each."""
        steps, high, wide = grid[0], grid[1] // merge, grid[2] // merge
        whole = torch.arange(high * wide, device="cpu").view(high, wide)
        pooled = whole[:: self.pool, :: self.pool].flatten()
        return [pooled if step % self.every else whole.flatten() for step in range(steps)]

    def tokens(self, full: torch.Tensor, grid: Grid, merge: int) -> torch.Tensor:
        """The tokens `[K, H]` of a video's `[t·h·w / merge², H]`."""
        if self.every == 1 or grid[0] == 1:
            return full
        steps = full.view(grid[0], grid[1] // merge, grid[2] // merge, -1)
        maps = steps.permute(0, 3, 1, 2)
        fast = avg_pool2d(maps, self.pool, ceil_mode=True).flatten(2).transpose(1, 2)
        parts = [
            fast[step] if step % self.every else steps[step].flatten(0, 1)
            for step in range(grid[0])
        ]
        return torch.cat(parts)


def expanded(
    ids: torch.Tensor, shown: Shown, kept: Kept, *, stamped: bool
) -> tuple[torch.Tensor, Shown, torch.Tensor]:
    """An example's ids `[L]` with all tokens of its videos, what it then shows, and where the given
    ones stand in it `[L]`. `stamped`: each time step has a place of its own.
    """
    parts: list[tuple[torch.Tensor, int]] = []
    for steps in map(kept, shown.videos):
        size = max(map(len, steps))  # of a whole step
        if stamped:
            parts += [(step, size) for step in steps]
        else:
            whole = torch.cat([step + size * number for number, step in enumerate(steps)])
            parts.append((whole, size * len(steps)))
    coming = iter(parts)
    cut, found, places, at = [], [], [], 0
    begun = 0  # of the longer ids
    for kind, start, length in shown.places:
        numbers, full = next(coming) if kind == VIDEO else (torch.arange(length), length)
        cut += [ids[at:start], ids[start : start + 1].expand(full)]
        found.append(torch.arange(begun, begun + start - at))
        begun += start - at
        found.append(numbers + begun)
        places.append((kind, begun, full))
        begun, at = begun + full, start + length
    cut.append(ids[at:])
    found.append(torch.arange(begun, begun + len(ids) - at))
    return torch.cat(cut), replace(shown, places=places), torch.cat(found)
