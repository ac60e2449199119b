"""Classification metrics on confusion counts.

Predictions are class numbers 0..K-1 in the order of the task's label list; K means "no label of
the list". Such an answer stays in the denominator: it is wrong for accuracy and recall, and for F1
it is a class outside the label list. Counts are `[..., K, K+1]` (rows: truth, columns: answer).
"""

from __future__ import annotations

import numpy as np

from affect_mllm.eval.metrics.base import Array, Metric, counted, mean_of, ratio
from affect_mllm.eval.metrics.beside_truth import Read

KINDS = (
    "closed_label",
    "sentiment",
    "statement_judgment",
    "multiple_choice",
    "pairwise_preference",
)


def confusions(read: Read) -> Array:
    """One count for each sample, `[n, K, K+1]`."""
    truth, answers = read.classes
    found = np.zeros((len(truth), len(read.labels), len(read.labels) + 1))
    found[np.arange(len(truth)), truth, answers] = 1
    return found


def confusion(read: Read) -> Array:
    """Counts `[K, K+1]`; the last column holds the answers without a label of the list."""
    truth, answers = read.classes
    found = np.zeros((len(read.labels), len(read.labels) + 1))
    np.add.at(found, (truth, answers), 1)
    return found


def accuracy(counts: Array) -> Array:
    """Share of right answers, `[...]`; also called WAR (recall weighted by class size)."""
    return ratio(np.trace(counts[..., :-1], axis1=-2, axis2=-1), counts.sum((-2, -1)))


def recalls(counts: Array) -> Array:
    """Recall of each class, `[..., K]`; NaN for a class that no sample has."""
    support = counts.sum(-1)
    return np.where(support > 0, ratio(_hits(counts), support), np.nan)


def uar(counts: Array) -> Array:
    """Unweighted mean of the recalls of the listed classes that occur in the truth, `[...]`.

    A listed class without a sample has no recall; counting it as 0 would keep perfect answers
    from reaching 1.
    """
    present = counts.sum(-1) > 0
    total = np.where(present, ratio(_hits(counts), counts.sum(-1)), 0.0).sum(-1)
    return ratio(total, present.sum(-1))


def macro_recall(counts: Array) -> Array:
    """Mean recall over the whole label list; a class without a sample counts as 0."""
    return ratio(_hits(counts), counts.sum(-1)).mean(-1)


def f1_scores(counts: Array) -> Array:
    """F1 of each class, `[..., K]`; 0 for a class neither asked for nor answered."""
    predicted = counts[..., :-1].sum(-2)
    return ratio(2 * _hits(counts), counts.sum(-1) + predicted)


def weighted_f1(counts: Array) -> Array:
    """F1 weighted by class size, `[...]`."""
    support = counts.sum(-1)
    return ratio((f1_scores(counts) * support).sum(-1), support.sum(-1))


def weighted_precision(counts: Array) -> Array:
    """Precision weighted by class size, `[...]`; 0 for a class never answered."""
    support = counts.sum(-1)
    precision = ratio(_hits(counts), counts[..., :-1].sum(-2))
    return ratio((precision * support).sum(-1), support.sum(-1))


def macro_f1(counts: Array) -> Array:
    """Mean F1 over the whole label list, `[...]`; a class that never occurs counts as 0.

    So does scikit-learn's `f1_score(labels=..., average="macro")`.
    """
    return f1_scores(counts).mean(-1)


def present_macro_f1(counts: Array) -> Array:
    """Mean F1 over the listed classes that occur in the truth, `[...]`."""
    present = counts.sum(-1) > 0
    return ratio((f1_scores(counts) * present).sum(-1), present.sum(-1))


def micro_f1(counts: Array) -> Array:
    """F1 of pooled decisions, `[...]`: an answer outside the list is no decision."""
    right = _hits(counts).sum(-1)
    return ratio(2 * right, counts.sum((-2, -1)) + counts[..., :-1].sum((-2, -1)))


def kappa(counts: Array) -> Array:
    """Cohen's kappa, `[...]`; answers outside the list are a class of their own.

    NaN where truth and answers are all of one class: chance alone makes them agree.
    """
    total = counts.sum((-2, -1))
    observed = accuracy(counts)
    chance = ratio((counts.sum(-1) * counts[..., :-1].sum(-2)).sum(-1), total**2)
    return np.where(chance < 1, ratio(observed - chance, 1 - chance), np.nan)


def hits_of(read: Read) -> Array:
    """The statistic of the share of right answers, `[n, 2]`."""
    truth, answers = read.classes
    return counted(truth == answers)


def top3_hits(read: Read) -> Array:
    """Whether the truth is among an answer's three best, `[n, 2]`.

    The order is that of a prediction's `ranking`, or of its `scores`, a tie going to the label
    named first, or of its `labels`; a plain answer is a list of one.
    """
    return counted(np.array([t in _ranking(read, i)[:3] for i, t in enumerate(read.truth)]))


def _ranking(read: Read, row: int) -> list[str]:
    prediction = read.predictions[row]
    if prediction is not None and prediction.ranking:
        return list(prediction.ranking)
    if prediction is not None and prediction.scores:
        scores = prediction.scores
        return sorted((x for x in read.labels if x in scores), key=lambda label: -scores[label])
    if prediction is not None and prediction.labels is not None:
        return list(prediction.labels)
    return [str(read.answers[row])]


def _hits(counts: Array) -> Array:
    return np.diagonal(counts[..., :-1], axis1=-2, axis2=-1)


METRICS: dict[str, Metric] = {
    "accuracy": Metric(hits_of, mean_of, KINDS, proportion=True),
    "war": Metric(hits_of, mean_of, KINDS, proportion=True),
    "top3_accuracy": Metric(top3_hits, mean_of, KINDS, proportion=True),
    "uar": Metric(confusions, uar, KINDS),
    "macro_recall": Metric(confusions, macro_recall, KINDS, over_list=True),
    "weighted_f1": Metric(confusions, weighted_f1, KINDS),
    "weighted_precision": Metric(confusions, weighted_precision, KINDS),
    "macro_f1": Metric(confusions, macro_f1, KINDS, over_list=True),
    "present_macro_f1": Metric(confusions, present_macro_f1, KINDS),
    "micro_f1": Metric(confusions, micro_f1, KINDS),
    "kappa": Metric(confusions, kappa, KINDS, scale="correlation"),
}
