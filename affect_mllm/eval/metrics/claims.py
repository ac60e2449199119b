"""Which senses answers speak of, and how often of one that was hidden from the model.

In the manner of MEP-Bench (arXiv 2606.25325), by what each prediction says it was shown: a claim
about the voice is unfounded where no sound was. A prediction that names no modalities tells nothing
of this and is left out. An answer that is not there makes no claim.
"""

from __future__ import annotations

import numpy as np

from affect_mllm.data.senses import Sense, sense_of
from affect_mllm.eval.metrics.base import Array, Metric, Statistic, counted, mean_of
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.predictions import Prediction

KINDS = ("claims",)


def speaks(sense: Sense) -> Statistic:
    """A statistic `[n, 2]`: one, and whether the answer speaks of the sense."""
    return lambda read: counted(_said(read, sense))


def unfounded(sense: Sense) -> Statistic:
    """A statistic `[n, 2]`: whether the sense was hidden, and whether the answer speaks of it."""

    def statistic(read: Read) -> Array:
        hidden = np.array([_hidden(each, sense) for each in read.predictions], dtype=bool)
        return counted(_said(read, sense), hidden)

    return statistic


def _said(read: Read, sense: Sense) -> Array:
    said = [isinstance(each, tuple) and sense in each for each in read.answers]
    return np.array(said, dtype=np.float64)


def _hidden(row: Prediction | None, sense: Sense) -> bool:
    shown = () if row is None else row.modalities
    return bool(shown) and sense not in map(sense_of, shown)


def _share(sense: Sense) -> Metric:
    return Metric(speaks(sense), mean_of, KINDS, proportion=True, neutral=True)


def _unfounded(sense: Sense) -> Metric:
    return Metric(unfounded(sense), mean_of, KINDS, best=0.0, worst=1.0, proportion=True)


METRICS: dict[str, Metric] = {
    "speaks_of_voice": _share("audio"),
    "speaks_of_face": _share("face"),
    "unfounded_voice": _unfounded("audio"),
    "unfounded_face": _unfounded("face"),
}
