"""Set scores and hit rates of open-vocabulary labels on emotion-wheel tables: pure functions.

The set metric (AffectGPT, ICML 2025; zeroQiaoba/AffectGPT@fffca79 `ew_metric.py`): in each map, G
and P are the sets of classes of the true and of the predicted labels. A sample whose G is empty is
left out of that map. Precision |G∩P|/|P| (0 if P is empty) and recall |G∩P|/|G| are averaged over
samples, F is 2PR/(P+R) of the means, and the score is the mean of F over the wheels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from affect_mllm.eval.emotion_wheel.tables import WheelTables

Labels = Sequence[str]


@dataclass(frozen=True)
class SetScore:
    """Precision, recall and F of one map, or their means over several, as fractions."""

    precision: float
    recall: float
    f1: float


def overlaps(
    truth: Labels,
    predicted: Labels,
    tables: WheelTables,
    places: Sequence[int],
    *,
    known: bool = False,
) -> list[tuple[float, float] | None]:
    """(precision, recall) in each map of `places`; None where no true label has a place.

    With `known` a label counts in a map only where it has a class that other words may share, in
    the truth and in the prediction: what the list lacks neither helps nor harms.
    """
    wanted, said = (tables.sets(tuple(each), known=known) for each in (truth, predicted))
    result: list[tuple[float, float] | None] = []
    for place in places:
        right, given = wanted[place], said[place]
        if not right:
            result.append(None)
        elif not given:
            result.append((0.0, 0.0))
        else:
            both = len(right & given)
            result.append((both / len(given), both / len(right)))
    return result


def set_scores(
    pairs: Iterable[tuple[Labels, Labels]], tables: WheelTables, *, undefined: float = 0.0
) -> dict[str, SetScore]:
    """The score of each map over (truth, predicted) pairs.

    `undefined` stands for 0/0: 0 since the tables of 2026, NaN in the code of 2025.
    """
    places = range(len(tables.maps))
    sums = [[0.0, 0.0, 0] for _ in places]
    for truth, predicted in pairs:
        for total, found in zip(sums, overlaps(truth, predicted, tables, places), strict=True):
            if found is not None:
                total[0] += found[0]
                total[1] += found[1]
                total[2] += 1
    return {
        name: _score(*((p / n, r / n) if n else (undefined, undefined)), undefined)
        for name, (p, r, n) in zip(tables.maps, sums, strict=True)
    }


def mean_score(scores: dict[str, SetScore], tables: WheelTables, level: str) -> SetScore:
    """The means of precision, recall and F over the maps of `level` (see WheelTables.places).

    Over "all" maps, its F is the M-avg of OV-MER (ICML 2025).
    """
    chosen = [scores[tables.maps[place]] for place in tables.places(level)]
    precision, recall, f1 = (
        sum(getattr(score, name) for score in chosen) / len(chosen)
        for name in ("precision", "recall", "f1")
    )
    return SetScore(precision, recall, f1)


def pair_f1(truth: Labels, predicted: Labels, tables: WheelTables, level: str = "level1") -> float:
    """Mean F over the maps of `level` for one pair of label lists: a reward in [0, 1].

    A map in which no true label has a place is left out; 0 if none is left.
    """
    found = [o for o in overlaps(truth, predicted, tables, tables.places(level)) if o is not None]
    return sum(2 * p * r / (p + r) if p + r else 0.0 for p, r in found) / max(len(found), 1)


def hits(
    truth: str, predicted: Labels, tables: WheelTables, places: Sequence[int]
) -> list[bool | None]:
    """Whether a predicted label shares the truth's class, in each map of `places`.

    None where the truth has no place: AffectGPT leaves such a sample out of that wheel.
    """
    rows = [tables.classes(label) for label in predicted]
    wanted = tables.classes(truth)
    return [
        any(row[place] == wanted[place] for row in rows) if wanted[place] else None
        for place in places
    ]


def candidate_precision(
    truth: str, predicted: Labels, candidates: Labels, *, tables: WheelTables, place: int
) -> float:
    """Hit divided by how many of the candidates' classes the prediction names; 0 if none."""
    wanted = tables.classes(truth)[place]
    known = {tables.classes(label)[place] for label in candidates}
    said = {tables.classes(label)[place] for label in predicted} & known - {""}
    return (wanted in said) / len(said) if said else 0.0


def _score(precision: float, recall: float, undefined: float) -> SetScore:
    total = precision + recall
    if math.isnan(total) or total == 0:
        return SetScore(precision, recall, undefined)
    return SetScore(precision, recall, 2 * precision * recall / total)
