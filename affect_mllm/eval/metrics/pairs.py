"""What the lengths of two texts alone tell of which one is preferred."""

from __future__ import annotations

import numpy as np

from affect_mllm.eval.metrics.base import Array, Metric, counted, mean_of
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.types import Sample

KINDS = ("pairwise_preference",)


def longer(read: Read) -> Array:
    """`[n, 2]`: whether a row has both texts, and whether the preferred one has more characters.

    Equally many are a half. The texts are the row's labels of the names that the task's first two
    labels have. No answer has influence.
    """
    pairs = zip(read.samples, read.truth, strict=True)
    values = np.array([_ahead(sample, truth, read.labels[:2]) for sample, truth in pairs])
    return counted(values, ~np.isnan(values))


def _ahead(sample: Sample, truth: str, labels: tuple[str, ...]) -> float:
    texts = {label: sample.labels.get(label) for label in labels}
    mine = texts.pop(truth, None)
    theirs = next(iter(texts.values()), None)
    if not isinstance(mine, str) or not isinstance(theirs, str):
        return np.nan
    return (len(mine) > len(theirs)) + (len(mine) == len(theirs)) / 2


METRICS: dict[str, Metric] = {"longer": Metric(longer, mean_of, KINDS, neutral=True)}
