"""Which senses answers speak of, and how often of one that was hidden from the model.

In the manner of MEP-Bench (arXiv 2606.25325), by what each prediction says it was shown: a claim
about the voice is unfounded where no sound was. A prediction that names no modalities tells nothing
of this and is left out. An answer that is not there makes no claim, and counts. Silence has no
unfounded claim, and saying everything speaks of all: `grounded` is had by neither.
"""

from __future__ import annotations

import numpy as np

from affect_mllm.data.senses import SENSES, Sense, sense_of
from affect_mllm.eval.metrics.base import Array, Metric, Statistic, counted, mean_of
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.predictions import Prediction

KINDS = ("claims",)


def grounded(read: Read) -> Array:
    """`[n, 2]`: whether it is known what was shown, and whether an answer speaks of such alone.

    Of one sense at least, where any was shown; an answer that was not read is not grounded.
    """
    pairs = zip(read.answers, map(shown_to, read.predictions), strict=True)
    right = [
        isinstance(said, tuple) and shown.issuperset(said) and (bool(said) or not shown)
        for said, shown in pairs
    ]
    used = [
        not isinstance(said, tuple) or row is None or bool(row.modalities)
        for said, row in zip(read.answers, read.predictions, strict=True)
    ]
    return counted(np.array(right, dtype=np.float64), np.array(used, dtype=bool))


def speaks(sense: Sense) -> Statistic:
    """A statistic `[n, 2]`: one, and whether the answer speaks of the sense."""
    return lambda read: counted(_said(read, sense))


def unfounded(sense: Sense) -> Statistic:
    """A statistic `[n, 2]`: whether the sense was hidden, and whether the answer speaks of it."""

    def statistic(read: Read) -> Array:
        told = (each is not None and bool(each.modalities) for each in read.predictions)
        shown = map(shown_to, read.predictions)
        hidden = [known and sense not in own for known, own in zip(told, shown, strict=True)]
        return counted(_said(read, sense), np.array(hidden, dtype=bool))

    return statistic


def _said(read: Read, sense: Sense) -> Array:
    said = [isinstance(each, tuple) and sense in each for each in read.answers]
    return np.array(said, dtype=np.float64)


def shown_to(row: Prediction | None) -> set[str]:
    """The senses that a prediction says the model was given."""
    return set() if row is None else set(map(sense_of, row.modalities)) & set(SENSES)


def _share(sense: Sense) -> Metric:
    return Metric(speaks(sense), mean_of, KINDS, proportion=True, neutral=True)


def _unfounded(sense: Sense) -> Metric:
    return Metric(unfounded(sense), mean_of, KINDS, best=0.0, worst=1.0, proportion=True)


METRICS: dict[str, Metric] = {
    "grounded": Metric(grounded, mean_of, KINDS, proportion=True),
    "speaks_of_voice": _share("audio"),
    "speaks_of_face": _share("face"),
    "unfounded_voice": _unfounded("audio"),
    "unfounded_face": _unfounded("face"),
}
