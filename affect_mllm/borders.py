"""Where examples begin and end when all real positions of a batch stand in one row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch

from affect_mllm.moving import moved


class Borders(NamedTuple):
    """Examples one behind another: what attention without a mask needs, host numbers included.

    `places` `[T]` int64 are the real positions of rows laid end to end, `starts` `[S + 1]` int32
    where each example begins among them. `lengths` are known to the host, so that nobody has to
    wait for the device to hear them. `forks` has, where any example has several answers, of each
    the length of its prompt and of every answer behind it; of one without, its length alone.
    """

    places: torch.Tensor
    starts: torch.Tensor
    lengths: tuple[int, ...]
    forks: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def of(cls, segments: torch.Tensor, branches: torch.Tensor | None = None) -> Borders:
        """From example numbers `[R, L]`, −1 for padding, and numbers of answers, −1 for none.

        On a device this waits for it.
        """
        rows = torch.arange(len(segments), device=segments.device).unsqueeze(1)
        places = (segments >= 0).flatten().nonzero().squeeze(1)
        keys = torch.stack([rows.expand_as(segments), segments]).flatten(1)[:, places]
        cuts = _cuts(keys)
        forks: tuple[tuple[int, ...], ...] = ()
        if branches is not None:
            parts = _cuts(torch.cat([keys, branches.flatten()[places].unsqueeze(0)]))
            inside = [[at for at in parts if first <= at <= last] for first, last in pairwise(cuts)]
            forks = tuple(tuple(b - a for a, b in pairwise(each)) for each in inside)
        starts = torch.tensor(cuts, dtype=torch.int32, device=segments.device)
        return cls(places, starts, tuple(end - start for start, end in pairwise(cuts)), forks)

    @classmethod
    def between(cls, lengths: Sequence[int]) -> Borders:
        """Examples of these lengths without padding, on the host."""
        cuts = [0, *accumulate(lengths)]
        starts = torch.tensor(cuts, dtype=torch.int32, device="cpu")
        return cls(torch.arange(cuts[-1], device="cpu"), starts, tuple(lengths))

    @property
    def longest(self) -> int:
        """Positions of the longest example."""
        return max(self.lengths, default=0)

    @property
    def cuts(self) -> list[int]:
        """`starts` as the host knows them."""
        return [0, *accumulate(self.lengths)]

    @property
    def counted(self) -> list[int]:
        """How far each of `places` stands from its example's start, the other answers left out."""
        forks = self.forks or [(length,) for length in self.lengths]
        return [place for fork in forks for place in counted(fork)]

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Borders:
        """The same with its tensors changed."""
        return self._replace(places=change(self.places), starts=change(self.starts))

    def to(self, device: torch.device) -> Borders:
        """The same on `device`."""
        return self.each(partial(moved, device=device))


def counted(fork: Sequence[int]) -> list[int]:
    """Positions of a prompt and the answers behind it, of these lengths: each goes on from it."""
    prompt, *answers = fork
    return [*range(prompt), *(prompt + at for length in answers for at in range(length))]


def _cuts(keys: torch.Tensor) -> list[int]:
    """Where columns `[K, T]` differ from the one before, first and last included."""
    change = (keys[:, 1:] != keys[:, :-1]).any(0).nonzero().squeeze(1) + 1
    return [0, *change.tolist(), *([keys.shape[1]] if keys.shape[1] else [])]
