"""Yes and no where yes is what is looked for: the task's first label is the positive one.

An answer that was not read says neither: it lowers recall, not precision.
"""

from __future__ import annotations

from affect_mllm.eval.metrics.base import Array, Metric, ratio
from affect_mllm.eval.metrics.classes import confusions, f1_scores

KINDS = ("statement_judgment",)


def yes_precision(counts: Array) -> Array:
    """Of the answers that say yes, the share that is right, `[...]`; 0 without any."""
    return ratio(counts[..., 0, 0], counts[..., 0].sum(-1))


def yes_recall(counts: Array) -> Array:
    """Of what is true, the share that was answered with yes, `[...]`."""
    return ratio(counts[..., 0, 0], counts[..., 0, :].sum(-1))


def yes_f1(counts: Array) -> Array:
    """The harmonic mean of both, `[...]`."""
    return f1_scores(counts)[..., 0]


def yes_ratio(counts: Array) -> Array:
    """The share of answers that say yes, `[...]`: the bias of POPE, neither good nor bad."""
    return ratio(counts[..., 0].sum(-1), counts.sum((-2, -1)))


def read_recall(counts: Array) -> Array:
    """Recall over the answers that could be read, `[...]` (lmms-eval@75571cf, POPE)."""
    return ratio(counts[..., 0, 0], counts[..., 0, :2].sum(-1))


def read_f1(counts: Array) -> Array:
    """F1 with that recall, `[...]`."""
    precision, recall = yes_precision(counts), read_recall(counts)
    return ratio(2 * precision * recall, precision + recall)


def true_ratio(counts: Array) -> Array:
    """The share of rows whose truth is yes, `[...]`: what lmms-eval@75571cf calls yes_ratio."""
    return ratio(counts[..., 0, :].sum(-1), counts.sum((-2, -1)))


METRICS: dict[str, Metric] = {
    "yes_precision": Metric(confusions, yes_precision, KINDS),
    "yes_recall": Metric(confusions, yes_recall, KINDS),
    "yes_f1": Metric(confusions, yes_f1, KINDS),
    "yes_ratio": Metric(confusions, yes_ratio, KINDS, neutral=True),
    "lmms_yes_recall": Metric(confusions, read_recall, KINDS),
    "lmms_yes_f1": Metric(confusions, read_f1, KINDS),
    "lmms_yes_ratio": Metric(confusions, true_ratio, KINDS, neutral=True),
}
