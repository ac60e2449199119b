"""Which row and which question come at which place: a pure function of seed and place."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from affect_mllm.data import manifest
from affect_mllm.data.rows import JoinedRows, Rows
from affect_mllm.data.template import Conversation, Instruction
from affect_mllm.types import ConfigError, DataError, Sample

BLOCK = 4096  # places whose sources are drawn together


@dataclass(frozen=True)
class Source:
    """Rows of one split of a manifest, with the questions to ask about them and their weights.

    `weight` is a number, or a curriculum: `{0: 1, 500: 3}` is 1 up to step 500 and 3 from then on.
    After `max_passes` over its rows (2.5: two and a half) a source gives its places to the others.
    `has` names labels: only rows that have them all are drawn. A source without instructions is
    given them by a run (data/label_questions.py).
    `manifest` and `split` name the rows, `instructions` the questions with their weights.
    """

    manifest: str
    split: str
    instructions: dict[str, PositiveFloat]
    weight: NonNegativeFloat | dict[int, NonNegativeFloat] = 1.0
    max_passes: PositiveFloat | None = None
    has: tuple[str, ...] = ()

    def rows(self) -> Rows:
        """The rows that can be drawn. DataError where there are none."""
        rows = manifest.read(Path(self.manifest), split=self.split)
        found = rows.having(self.has) if self.has else rows
        if not found:
            raise DataError(
                str(self.manifest),
                f"no row of split {self.split} has {', '.join(self.has)}",
                fix="give another split, or fewer labels in the source's `has`",
            )
        return found


@dataclass(frozen=True)
class Mixing:
    """How weights become shares: share ∝ (weight · rows^by_size)^(1/temperature).

    With `by_size` the weight counts for each row, of which a source has at most `max_rows`; a
    temperature above 1 lifts small sources (Raffel et al. 2020, T5, §3.5.2).
    `temperature` is the root's degree.
    """

    by_size: bool = False
    max_rows: PositiveInt | None = None
    temperature: PositiveFloat = 1.0

    def shares(self, weights: np.ndarray, rows: Sequence[int]) -> np.ndarray:
        """Shares `[S]` of sources with these weights and numbers of rows; they add up to 1."""
        sizes = np.minimum(rows, self.max_rows or np.inf) if self.by_size else np.ones(len(rows))
        lifted = np.power(weights * sizes, 1 / self.temperature)
        return lifted / lifted.sum()


@dataclass(frozen=True)
class Draw:
    """One place of the mixture: a row, a question's name, and a seed of its own."""

    sample: Sample
    instruction: str
    seed: tuple[int, int]


class Mixture:
    """Weighted sources drawn without end; every source is gone through in shuffled passes.

    Place `i` is decided by the seed, the settings and `i` alone, so the state of a run is one
    number, whatever the number of workers and ranks. `step_places` is how many places a step of
    a curriculum takes. Raises ConfigError when the sources cannot fill `places`.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        seed: int,
        places: int,
        step_places: int = 1,
        mixing: Mixing | None = None,
    ) -> None:
        if not sources:
            raise ConfigError("data.sources", "empty", expected="at least one source")
        self.seed, self.places = seed, places
        self.sources = tuple(sources)
        if any(not each.instructions for each in sources):
            raise ConfigError("data.sources", "one without instructions", expected="at least one")
        self.rows = [each.rows() for each in sources]
        self._schedule = _Schedule(sources, self.rows, mixing or Mixing(), step_places)
        self._passes: dict[int, tuple[int, np.ndarray]] = {}
        self._block: tuple[int, np.ndarray, np.ndarray] | None = None
        self._before = np.zeros((-(-places // BLOCK) + 1, len(sources)), np.int64)
        for block in range(len(self._before) - 1):
            drawn = self._draw(block)
            self._before[block + 1] = self._before[block] + np.bincount(
                drawn, minlength=len(sources)
            )

    def __len__(self) -> int:
        return self.places

    def __getitem__(self, place: int) -> Draw:
        """The draw at `place` (0 ≤ place < len)."""
        number, rank = self._at(place)
        source, rows = self.sources[number], self.rows[number]
        epoch, index = divmod(rank, len(rows))
        order = self._order(number, epoch)
        names = sorted(source.instructions)
        weights = np.array([source.instructions[name] for name in names], float)
        choice = np.random.default_rng([self.seed, 2, place]).choice(
            len(names), p=weights / weights.sum()
        )
        return Draw(rows[int(order[index])], names[choice], (self.seed, place))

    def samples(self, questions: Collection[str] = ()) -> Sequence[Sample]:
        """All rows that can be drawn, or asked one of these questions, each split of a manifest
        once.
        """
        found: dict[tuple[str, str], Rows] = {}
        for source, rows in zip(self.sources, self.rows, strict=True):
            if questions and not set(questions) & set(source.instructions):
                continue
            place = source.manifest, source.split
            found[place] = found[place].joined(rows) if place in found else rows
        return JoinedRows([*found.values()])

    def _at(self, place: int) -> tuple[int, int]:
        """The source at a place, and how many of that source come before it."""
        block, inside = divmod(place, BLOCK)
        if self._block is None or self._block[0] != block:
            drawn, ranks = self._draw(block), np.zeros(BLOCK, np.int64)
            for number in range(len(self.sources)):
                mine = np.flatnonzero(drawn == number)
                ranks[mine] = self._before[block, number] + np.arange(len(mine))
            self._block = (block, drawn, ranks)
        return int(self._block[1][inside]), int(self._block[2][inside])

    def _draw(self, block: int) -> np.ndarray:
        """The sources of a block's places; places up to the block must be counted."""
        first = block * BLOCK
        size = min(BLOCK, self.places - first)
        luck = np.random.default_rng([self.seed, 0, block]).random(size)
        return self._schedule.choose(first, luck, self._before[block])

    def _order(self, number: int, epoch: int) -> np.ndarray:
        """The shuffled pass `epoch` through a source; the newest pass is kept."""
        kept = self._passes.get(number)
        if kept is None or kept[0] != epoch:
            rng = np.random.default_rng([self.seed, 1, number, epoch])
            kept = self._passes[number] = (epoch, rng.permutation(len(self.rows[number])))
        return kept[1]


class _Schedule:
    """Shares of the sources at every place: a curriculum's pieces, and sources used up."""

    def __init__(
        self,
        sources: Sequence[Source],
        rows: Sequence[Sequence[Sample]],
        mixing: Mixing,
        step_places: int,
    ) -> None:
        self._mixing, self._sizes = mixing, [len(each) for each in rows]
        pieces = [_pieces(source.weight) for source in sources]
        self._steps = sorted({step for piece in pieces for step in piece} | {0})
        self._starts = [step * step_places for step in self._steps]
        self._weights = np.array(
            [[_weight_at(piece, step) for piece in pieces] for step in self._steps]
        )
        self._limits = np.array(
            [
                np.inf if source.max_passes is None else np.floor(source.max_passes * size)
                for source, size in zip(sources, self._sizes, strict=True)
            ]
        )

    def choose(self, first: int, luck: np.ndarray, used: np.ndarray) -> np.ndarray:
        """The sources at places `first …`, where `used` places of each came before."""
        chosen = np.empty(len(luck), np.int64)
        used = used.copy()
        for start, stop, piece in self._parts(first, first + len(luck)):
            at = start - first
            while at < stop - first:  # anew after each source that is used up on the way
                left = self._limits - used
                found = np.searchsorted(
                    np.cumsum(self._shares(piece, left, first + at)),
                    luck[at : stop - first],
                    side="right",
                )
                keep = _until_used_up(found, left)
                chosen[at : at + keep] = found[:keep]
                used += np.bincount(found[:keep], minlength=len(used))
                at += keep
        return chosen

    def _shares(self, piece: int, left: np.ndarray, place: int) -> np.ndarray:
        weights = np.where(left >= 1, self._weights[piece], 0.0)
        if not weights.any():
            raise ConfigError(
                "stage.sources",
                f"nothing is left to draw from at place {place} (step {self._steps[piece]} on)",
                expected="a source with weight that is not used up",
                fix="raise max_passes or weight, or train fewer steps",
            )
        shares = self._mixing.shares(weights, self._sizes)
        shares[np.flatnonzero(weights)[-1]] += 1 - shares.sum()  # else luck near 1 finds nobody
        return shares

    def _parts(self, first: int, end: int) -> Iterator[tuple[int, int, int]]:
        """(start, stop, piece of the curriculum) of the parts of places `first … end − 1`."""
        bounds = [*self._starts, np.inf]
        for piece, (start, stop) in enumerate(pairwise(bounds)):
            low, high = max(first, int(start)), int(min(end, stop))
            if low < high:
                yield low, high, piece


def _until_used_up(found: np.ndarray, left: np.ndarray) -> int:
    """How many draws can be kept before one asks a source for more than it has left."""
    keep = len(found)
    for number in np.flatnonzero(np.isfinite(left)):
        mine = np.flatnonzero(found == number)
        allowed = int(left[number])
        if len(mine) > allowed:
            keep = min(keep, int(mine[allowed]))
    return keep


def _pieces(weight: float | dict[int, float]) -> dict[int, float]:
    pieces = weight if isinstance(weight, dict) else {0: weight}
    if not pieces or min(pieces) < 0:
        raise ConfigError(
            "sources.weight", f"{weight}", expected="a number, or {step: weight} from step 0 on"
        )
    return {int(step): float(value) for step, value in pieces.items()}


def _weight_at(pieces: dict[int, float], step: int) -> float:
    """The weight from the last piece that has begun; 0 before the first."""
    begun = [start for start in pieces if start <= step]
    return pieces[max(begun)] if begun else 0.0


def in_order(sources: Mapping[str, Source]) -> list[Source]:
    """The sources by their names, so that the order in which they were written decides nothing."""
    return [sources[name] for name in sorted(sources)]


def check_instructions(
    sources: Mapping[str, Source], known: dict[str, Instruction | Conversation]
) -> None:
    """Every instruction that a source asks for exists, and the rows' labels are in its label space.

    Raises ConfigError for the former, DataError (all rows at once) for the latter.
    """
    for name, source in sources.items():
        unknown = set(source.instructions) - set(known)
        if unknown:
            raise ConfigError(
                f"stage.sources.{name}.instructions",
                f"{sorted(unknown)}",
                expected=f"some of {sorted(known)}",
            )
        asked = [known[name] for name in source.instructions]
        for instruction in asked:
            if isinstance(instruction, Instruction) and instruction.allowed:
                _check_labels(source, instruction)


def _check_labels(source: Source, instruction: Instruction) -> None:
    rows = source.rows()
    for key in instruction.needs:
        manifest.check_labels(rows, key, allowed=instruction.allowed)
