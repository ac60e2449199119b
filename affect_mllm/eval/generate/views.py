"""Which modality does a model follow? One modality of every clip is taken from another clip.

If the answer then names what the other clip shows, the model follows that modality; if it keeps
naming what the clip itself shows, it follows the rest. (Clips whose modalities contradict each
other by themselves, as in CA-MER, are the other half of this question: a task's `breakdowns`.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from affect_mllm.data.senses import sense_of
from affect_mllm.eval.metrics.intervals import share_of
from affect_mllm.types import ConfigError, DataError, Sample

ALL = ("face", "audio", "text")
_PICTURES = {"video", "image", "frames", "faces", "features"}
_SOUND = {"video", "audio", "features"}
TruthOf = Callable[[Sample], Any]


@dataclass(frozen=True)
class View:
    """What a model may see: `modalities` of the row, one of them taken from a donor if `swap`."""

    modalities: tuple[str, ...] = ALL
    swap: str | None = None

    def shows(self, modality: str) -> bool:
        """Whether a modality of the model may be seen; `face` stands for any picture."""
        return sense_of(modality) in self.modalities

    @property
    def name(self) -> str:
        """`face+audio+text`, or `swap-audio`."""
        seen = "+".join(name for name in ALL if name in self.modalities)
        return seen if self.swap is None else f"swap-{self.swap}"


def parse_subsets(names: Sequence[str]) -> list[View]:
    """Views of modality subsets from their names, the largest first. Raises ConfigError."""
    if not names:
        raise ConfigError(
            "subsets", "[]", expected="at least one, such as [face+audio+text], or [all]"
        )
    if list(names) == ["all"]:
        return [View(c) for size in (3, 2, 1) for c in combinations(ALL, size)]
    parsed = [tuple(name.split("+")) for name in names]
    for subset in parsed:
        _check_modalities("subsets", subset, more=", or [all]")
    return [View(subset) for subset in parsed]


def parse_swaps(names: Sequence[str]) -> list[View]:
    """Views with one modality of another clip. Raises ConfigError."""
    _check_modalities("swaps", names)
    return [View(swap=name) for name in names]


def _check_modalities(where: str, names: Sequence[str], *, more: str = "") -> None:
    unknown = set(names) - set(ALL)
    if unknown:
        raise ConfigError(where, f"{sorted(unknown)}", expected=f"some of {ALL}{more}")


def has(sample: Sample, modality: str) -> bool:
    """Whether a row names something of that modality (`face` stands for any picture)."""
    if modality == "text":
        return bool(sample.subtitle) or sample.is_words
    return any(_has(part, modality) for part in sample.parts)


def _has(part: Sample, modality: str) -> bool:
    return bool((_SOUND if modality == "audio" else _PICTURES) & set(part.media))


def donors(
    samples: Sequence[Sample], modality: str, truth_of: TruthOf, *, seed: int = 0
) -> dict[str, Sample]:
    """For each row with that modality another one of a different class and group, by row id.

    `truth_of` gives a row's class as the task counts it: several raw labels may be one class.
    The rows are shuffled, and each takes the next one that fits: the same for the same seed.
    Raises DataError where nothing fits for any row.
    """
    having = sorted((s for s in samples if has(s, modality)), key=lambda sample: sample.id)
    order = [having[i] for i in np.random.default_rng(seed).permutation(len(having))]
    chosen: dict[str, Sample] = {}
    for place, sample in enumerate(order):
        ring = (order[(place + step) % len(order)] for step in range(1, len(order)))
        alike = (other for other in ring if _places(other, modality) == _places(sample, modality))
        fitting = (other for other in alike if _differs(other, sample, truth_of))
        found = next(fitting, None)
        if found is not None:
            chosen[sample.id] = found
    if not chosen:
        raise DataError(
            f"swap of {modality}",
            f"no two rows with {modality} and different classes",
            expected="rows of several classes",
        )
    return chosen


def _places(sample: Sample, modality: str) -> list[bool]:
    """Which of the clips have the modality: what is taken stands at the place of what goes."""
    return [modality == "text" or _has(clip, modality) for clip in sample.clips]


def _differs(one: Sample, other: Sample, truth_of: TruthOf) -> bool:
    same_group = one.group is not None and one.group == other.group
    return not same_group and truth_of(one) != truth_of(other)


def followed(
    answers: Mapping[str, Any],
    own: Mapping[str, Any],
    donor: Mapping[str, Any],
    groups: Mapping[str, str],
) -> dict[str, Any]:
    """Shares of answers that name the donor's class, the clip's own, or neither.

    Over the rows that have a donor; `answers` maps a row to what was read (None: nothing), `groups`
    to its group, by which errors are counted.
    """
    rows = sorted(donor)
    hits = {
        name: np.array([answers.get(row) == named[row] for row in rows])
        for name, named in (("donor", donor), ("own", own))
    }
    hits["neither"] = ~(hits["donor"] | hits["own"])
    names = [groups[row] for row in rows]
    return {name: share_of(each, names) for name, each in hits.items()}
