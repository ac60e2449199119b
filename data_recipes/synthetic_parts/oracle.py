"""What the best possible model can reach from each subset of the modalities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from .design import MODALITIES, ClipSpec, group_of


def subsets() -> list[tuple[str, ...]]:
    """All non-empty subsets of the modalities, single ones first."""
    return [s for n in range(1, len(MODALITIES) + 1) for s in combinations(MODALITIES, n)]


def ceilings(emotions: Sequence[str]) -> dict[str, float]:
    """The Bayes-optimal accuracy of each subset under the class frequencies of `emotions`.

    Keys are "face", "face+audio", …. Clips whose groups agree in every modality of the subset
    cannot be told apart, so the best answer for them is their most frequent class. Twins make
    this a bound on the very clips of a split, not only in expectation.
    """
    return {"+".join(subset): _ceiling(emotions, subset) for subset in subsets()}


def _ceiling(emotions: Sequence[str], subset: tuple[str, ...]) -> float:
    cells: dict[tuple[str, ...], Counter[str]] = {}
    for emotion in emotions:
        key = tuple(group_of(modality, emotion) for modality in subset)
        cells.setdefault(key, Counter())[emotion] += 1
    return sum(max(cell.values()) for cell in cells.values()) / len(emotions)


def conflict_ceiling(clips: Sequence[ClipSpec]) -> float:
    """The same for the three shown groups of conflict clips, all modalities given."""
    cells: dict[tuple[str, str, str], Counter[str]] = {}
    for clip in clips:
        key = (clip.face.group, clip.voice.group, clip.wording.group)
        cells.setdefault(key, Counter())[clip.emotion] += 1
    return sum(max(cell.values()) for cell in cells.values()) / len(clips)
