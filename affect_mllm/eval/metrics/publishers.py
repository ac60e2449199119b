"""Publishers' formulas where they differ from ours, faults included; how they read is in
`eval/read/publishers.py`. Metrics are for `compat=official` only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile

import numpy as np

from affect_mllm.eval.metrics import calibration, classes, values
from affect_mllm.eval.metrics.base import Array, Metric, mean_of, ratio
from affect_mllm.eval.metrics.beside_truth import Read

FOLD = "fold"  # the label that names a sample's test fold


def dfew_uar(counts: Array) -> Array:
    """UAR over labels of the truth or the answers; 0/0 makes it NaN.

    jiangxingxun/DFEW@7c1ba78 `libs/model_metrics.py`: a label that occurs only among the answers
    has no recall, so one such answer leaves no number. Any answer outside the list is one.
    """
    support, answered = counts.sum(-1), counts.sum(-2)
    seen = (support > 0) | (answered[..., :-1] > 0)
    lost = ((support == 0) & (answered[..., :-1] > 0)).any(-1) | (answered[..., -1] > 0)
    recalled = ratio(np.diagonal(counts[..., :-1], axis1=-2, axis2=-1), support).sum(-1)
    return np.where(lost, np.nan, ratio(recalled, seen.sum(-1)))


def fold_confusions(read: Read) -> Array:
    """Confusion counts of each fold, `[n, folds, K, K+1]`; one fold where samples name none."""
    names = sorted({str(sample.labels.get(FOLD)) for sample in read.samples})
    place = np.array([names.index(str(sample.labels.get(FOLD))) for sample in read.samples])
    counts = classes.confusions(read)
    found = np.zeros((len(read), len(names), *counts.shape[1:]))
    found[np.arange(len(read)), place] = counts
    return found


def over_folds(value: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The mean over folds of a value of confusion counts."""
    return lambda sums: value(sums).mean(-1)


def answered_confusions(read: Read) -> Array:
    """Confusion counts without the empty answers, `[n, K, K+1]` (EmoBench-M drops them)."""
    said = np.array([status not in ("empty", "missing") for status in read.status])
    return classes.confusions(read) * said[:, None, None]


def open_bin_sums(read: Read) -> Array:
    """`[n, BINS + 1, 3]` of bins [low, high): a confidence of 1 falls into none.

    It counts in n, and so does an answer without confidence (wdqqdw/EmoCaliber@a520291, VECBench).
    """
    edges = np.linspace(0, 1, calibration.BINS + 1)  # rounding puts 0.7 below an edge of these
    stated = calibration.confidences(read)
    found = np.zeros((len(read), calibration.BINS + 1, 3))
    places = np.searchsorted(edges, np.nan_to_num(stated), side="right") - 1
    found[:, :-1] = calibration.binned(read, places, calibration.BINS)
    found[:, -1, 0] = found[:, :-1, 0].sum(1) == 0
    return found if (~np.isnan(stated)).any() else np.zeros_like(found)


def open_bin_gaps(sums: Array) -> Array:
    """Each bin's share of that calibration error, with its sign, `[..., BINS]`."""
    gaps = sums[..., :-1, 1] - sums[..., :-1, 2]
    return ratio(gaps, sums[..., 0].sum(-1)[..., None])


def undefined_pearson(sums: Array) -> Array:
    """Pearson's correlation, NaN where truth or answers do not vary."""
    found = values.pearson(sums)
    n, (seen, x, y, xx, yy, _) = sums[..., 0], np.moveaxis(sums[..., 3:], -1, 0)
    flat = (xx - ratio(x * x, seen) < 1e-9 * n) | (yy - ratio(y * y, seen) < 1e-9 * n)
    return np.where(flat, np.nan, found)


def step_scores(reply: str | None, *, fractions: bool = False) -> list[float] | None:
    """The steps' scores in a judge's reply; None without one, or a `<score>` block on one line.

    FunAudioLLM/MME-Emotion@0c265d8: each task's script reads ": d/1", the overall one any fraction
    (`fractions`), with 0 for a denominator of 0. A block with a newline in it is not found.
    """
    block = _block(reply or "")
    if block is None:
        return None
    steps = block.split(":")[1:]
    if fractions:
        return [score for score in map(_quotient, steps) if score is not None]
    return [float(step[1]) for step in steps if step[:1] == " " and _is_of_one(step[1:4])]


def _block(reply: str) -> str | None:
    """What stands between the first pair of score tags on one line."""
    for line in reply.split("\n"):
        _, opened, rest = line.partition("<score>")
        inside, closed, _ = rest.partition("</score>")
        if opened and closed:
            return inside
    return None


def _is_of_one(text: str) -> bool:
    return text[:1].isdecimal() and text[1:] == "/1"


def _quotient(step: str) -> float | None:
    """The fraction that `step` begins with, 0 over a denominator of 0; None without one."""
    above, _, rest = step.lstrip().partition("/")
    below = "".join(takewhile(str.isdecimal, rest))
    if not (above.isdecimal() and below):
        return None
    return int(above) / int(below) if int(below) else 0.0


def _mmsa(metric: Metric, *, clip: bool = False) -> Metric:
    """A metric as thuiar/MMSA@a94e65d has it: single precision, rounded to 4 digits.

    CH-SIMS clips truth and answers to the scale before anything else.
    """

    def statistic(read: Read) -> Array:
        numbers = np.clip(read.numbers, read.low, read.high) if clip else read.numbers
        truth, answers = numbers.astype(np.float32).astype(np.float64)
        said = [None if np.isnan(value) else float(value) for value in answers]
        return metric.statistic(replace(read, truth=list(truth), answers=said))

    return replace(metric, statistic=statistic, digits=4)


def _single(ends: tuple[float, ...]) -> Metric:
    """Accuracy over bins whose ends are in single precision, too."""
    exact = tuple(float(np.float32(end)) for end in ends)
    return _mmsa(Metric(values.bins_equal(values.edges(exact)), mean_of, values.KINDS), clip=True)


_CORRELATION = replace(values.METRICS["pearson"], value=undefined_pearson)
_DFEW = classes.KINDS

METRICS: dict[str, Metric] = {
    "dfew_uar": Metric(classes.confusions, dfew_uar, _DFEW, worst=None),
    "dfew_fold_war": Metric(fold_confusions, over_folds(classes.accuracy), _DFEW),
    "dfew_fold_official_uar": Metric(fold_confusions, over_folds(dfew_uar), _DFEW, worst=None),
    "dfew_fold_uar": Metric(fold_confusions, over_folds(classes.uar), _DFEW),
    "ece_open_bins": Metric(
        open_bin_sums,
        lambda sums: np.abs(open_bin_gaps(sums)).sum(-1),
        _DFEW,
        best=0.0,
        worst=1.0,
        scale="error",
        parts=open_bin_gaps,
    ),
    "answered_accuracy": Metric(answered_confusions, classes.accuracy, _DFEW),
    "answered_weighted_f1": Metric(answered_confusions, classes.weighted_f1, _DFEW),
    "answered_weighted_precision": Metric(answered_confusions, classes.weighted_precision, _DFEW),
    **{
        f"mmsa_{name}": _mmsa(values.METRICS[name])
        for name in ("acc2_has0", "f1_has0", "acc2_non0", "f1_non0", "acc5", "acc7", "mae")
    },
    "mmsa_pearson": _mmsa(_CORRELATION),
    **{
        f"mmsa_sims_{name}": _mmsa(values.METRICS[ours], clip=True)
        for name, ours in (("acc2", "sims_acc2"), ("f1", "sims_f1"), ("mae", "mae"))
    },
    "mmsa_sims_pearson": _mmsa(_CORRELATION, clip=True),
    "mmsa_sims_acc3": _single(values.SIMS_3),
    "mmsa_sims_acc5": _single(values.SIMS_5),
}
