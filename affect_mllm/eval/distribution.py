"""Distances between emotion distributions, as used with Emotion6, Flickr_LDL and Twitter_LDL.

The set of measures of label distribution learning (Geng, Label Distribution Learning, 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Distances:
    """Means over samples. The first three and `kl_true_pred` are best at 0, the others at 1."""

    chebyshev: float
    canberra: float
    clark: float
    kl_true_pred: float
    cosine: float
    intersection: float


def distances(truth: Rows, predicted: Rows) -> Distances:
    """How far predicted distributions `[n, K]` are from the true ones; 0 against 0 adds none."""
    true, given = np.asarray(truth, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    gap, total = np.abs(true - given), true + given
    share = np.divide(gap, total, out=np.zeros_like(gap), where=total > 0)
    lengths = np.linalg.norm(true, axis=1) * np.linalg.norm(given, axis=1)
    return Distances(
        float(gap.max(axis=1).mean()),
        float(share.sum(axis=1).mean()),
        float(np.sqrt((share**2).sum(axis=1)).mean()),
        float(_divergence(true, given).mean()),
        float(((true * given).sum(axis=1) / lengths).mean()),
        float(np.minimum(true, given).sum(axis=1).mean()),
    )


def _divergence(true: NDArray, given: NDArray) -> NDArray:
    from scipy.special import rel_entr

    return rel_entr(true, given).sum(axis=1)
