"""Which row and which question comes at which place: a pure function of seed and place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affect_mllm.data import manifest
from affect_mllm.data.template import Instruction
from affect_mllm.types import ConfigError, Sample


@dataclass(frozen=True)
class Source:
    """Rows of one split of a manifest, with the questions to ask about them and their weights."""

    manifest: str
    split: str
    instructions: dict[str, float]
    weight: float = 1.0


@dataclass(frozen=True)
class Draw:
    """One place of the mixture: a row, a question's name, and a seed of its own."""

    sample: Sample
    instruction: str
    seed: tuple[int, int]


class Mixture:
    """Weighted sources drawn without end; every source is gone through in shuffled passes.

    Place `i` is decided by the seed and `i` alone, so the state of a run is one number.
    """

    def __init__(self, sources: Sequence[Source], *, seed: int, places: int) -> None:
        if not sources:
            raise ConfigError("data.sources", "empty", expected="at least one source")
        self.seed = seed
        self.sources = tuple(sources)
        self.rows = [manifest.read(Path(each.manifest), split=each.split) for each in sources]
        weights = np.array([source.weight for source in sources], float)
        rng = np.random.default_rng([seed, 0])
        self._source = rng.choice(len(sources), size=places, p=weights / weights.sum())
        self._passes: dict[int, tuple[int, np.ndarray]] = {}
        self._rank = np.zeros(places, int)
        for number in range(len(sources)):
            mine = self._source == number
            self._rank[mine] = np.arange(mine.sum())

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, place: int) -> Draw:
        """The draw at `place` (0 ≤ place < len)."""
        number = int(self._source[place])
        source, rows = self.sources[number], self.rows[number]
        epoch, index = divmod(int(self._rank[place]), len(rows))
        order = self._order(number, epoch)
        names = sorted(source.instructions)
        weights = np.array([source.instructions[name] for name in names], float)
        choice = np.random.default_rng([self.seed, 2, place]).choice(
            len(names), p=weights / weights.sum()
        )
        return Draw(rows[order[index]], names[choice], (self.seed, place))

    def _order(self, number: int, epoch: int) -> np.ndarray:
        """The shuffled pass `epoch` through a source; the newest pass is kept."""
        kept = self._passes.get(number)
        if kept is None or kept[0] != epoch:
            rng = np.random.default_rng([self.seed, 1, number, epoch])
            kept = self._passes[number] = (epoch, rng.permutation(len(self.rows[number])))
        return kept[1]

    def samples(self) -> Iterator[Sample]:
        """All rows that can be drawn, each split of a manifest once."""
        places = [(source.manifest, source.split) for source in self.sources]
        for number, rows in enumerate(self.rows):
            if places[number] not in places[:number]:
                yield from rows


def check_instructions(sources: Sequence[Source], known: dict[str, Instruction]) -> None:
    """Every instruction that a source asks for exists, and the rows' labels are in its label space.

    Raises ConfigError for the former, DataError (all rows at once) for the latter.
    """
    for number, source in enumerate(sources):
        unknown = set(source.instructions) - set(known)
        if unknown:
            raise ConfigError(
                f"data.sources[{number}].instructions",
                f"{sorted(unknown)}",
                expected=f"some of {sorted(known)}",
            )
        for name in source.instructions:
            if known[name].allowed:
                _check_labels(source, known[name])


def _check_labels(source: Source, instruction: Instruction) -> None:
    rows = manifest.read(Path(source.manifest), split=source.split)
    for key in instruction.needs:
        manifest.check_labels(rows, key, allowed=instruction.allowed)
