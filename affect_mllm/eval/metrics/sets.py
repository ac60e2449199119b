"""Multi-label metrics on indicators; an answer that could not be read has no label."""

from __future__ import annotations

import numpy as np

from affect_mllm.eval.metrics.base import Array, Metric, counted, mean_of, ratio
from affect_mllm.eval.metrics.beside_truth import Read

KINDS = ("multi_label",)


def label_counts(read: Read) -> Array:
    """True positives, false positives, false and true negatives of each label, `[n, K, 4]`."""
    truth, answers = read.indicators
    parts = (truth & answers, ~truth & answers, truth & ~answers, ~truth & ~answers)
    return np.stack(parts, axis=-1).astype(np.float64)


def sample_f1(read: Read) -> Array:
    """`[n, 2]`: one, and the F1 of each sample's set; two empty sets are 0, as in scikit-learn."""
    truth, answers = read.indicators
    return counted(ratio(2 * (truth & answers).sum(1), truth.sum(1) + answers.sum(1)))


def jaccard(read: Read) -> Array:
    """`[n, 2]`: one, and intersection over union of each sample's set."""
    truth, answers = read.indicators
    return counted(ratio((truth & answers).sum(1), (truth | answers).sum(1)))


def same_set(read: Read) -> Array:
    """`[n, 2]`: one, and whether the whole set is right; an unread answer is not."""
    truth, answers = read.indicators
    said = np.array([answer is not None for answer in read.answers])
    return counted((truth == answers).all(axis=1) & said)


def wrong_labels(read: Read) -> Array:
    """`[n, 2]`: one, and the share of labels that are wrong, all of them if nothing was read."""
    truth, answers = read.indicators
    said = np.array([answer is not None for answer in read.answers])
    return counted(np.where(said, (truth != answers).mean(axis=1), 1.0))


def micro_f1(sums: Array) -> Array:
    """F1 of decisions pooled over labels, `[...]`."""
    hits, extra, lacking, _ = np.moveaxis(sums.sum(-2), -1, 0)
    return ratio(2 * hits, 2 * hits + extra + lacking)


def macro_f1(sums: Array) -> Array:
    """Mean F1 over the label list, `[...]`; 0 for a label neither asked for nor answered."""
    return _f1(sums).mean(-1)


def weighted_f1(sums: Array) -> Array:
    """F1 weighted by how often each label is true, `[...]`."""
    support = sums[..., 0] + sums[..., 2]
    return ratio((_f1(sums) * support).sum(-1), support.sum(-1))


def scored(read: Read) -> Array:
    """`[n, 1 + 2 K]`: one, which labels are true, and their scores.

    A prediction without `scores` ranks the labels that it answers above the others.
    """
    truth, answers = read.indicators
    scores = answers.astype(np.float64)
    for row, prediction in enumerate(read.predictions):
        if prediction is not None and prediction.scores:
            lowest = min(prediction.scores.values())
            scores[row] = [prediction.scores.get(label, lowest) for label in read.labels]
    return np.concatenate([np.ones((len(read), 1)), truth, scores], axis=1)


def average_precision(rows: Array) -> Array:
    """Mean average precision (mAP) of `[n, 1 + 2 K]` over the labels that are ever true."""
    from sklearn.metrics import average_precision_score

    wanted, given = np.split(rows[:, 1:], 2, axis=1)
    present = wanted.any(axis=0)
    if not present.any():
        return np.asarray(np.nan)
    found = average_precision_score(wanted[:, present], given[:, present], average="macro")
    return np.asarray(found)


def _f1(sums: Array) -> Array:
    hits, extra, lacking, _ = np.moveaxis(sums, -1, 0)
    return ratio(2 * hits, 2 * hits + extra + lacking)


METRICS: dict[str, Metric] = {
    "set_micro_f1": Metric(label_counts, micro_f1, KINDS),
    "set_macro_f1": Metric(label_counts, macro_f1, KINDS, over_list=True),
    "set_weighted_f1": Metric(label_counts, weighted_f1, KINDS),
    "set_sample_f1": Metric(sample_f1, mean_of, KINDS),
    "set_map": Metric(scored, average_precision, KINDS, whole=True, worst=None),
    "set_jaccard": Metric(jaccard, mean_of, KINDS),
    "set_accuracy": Metric(same_set, mean_of, KINDS, proportion=True),
    "set_hamming": Metric(wrong_labels, mean_of, KINDS, best=0.0, worst=1.0, scale="error"),
}
