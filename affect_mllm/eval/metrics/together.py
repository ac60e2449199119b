"""Questions that are asked together: a group of them counts as right if each answer is.

MMBench asks one question with its options in every rotation, MME two about one picture. A group's
outcome stands at its first row, so whole groups can be left out like any rows.
"""

from __future__ import annotations

import numpy as np

from affect_mllm.eval.metrics.base import Array, Metric, counted, mean_of, ratio
from affect_mllm.eval.metrics.beside_truth import Read, together
from affect_mllm.eval.metrics.classes import KINDS
from affect_mllm.eval.metrics.groups import Groups
from affect_mllm.types import DataError

# MME's sub-tasks: Fu et al. 2023, arXiv 2306.13394.
PERCEPTION = ("existence", "count", "position", "color", "posters", "celebrity", "scene",
              "landmark", "artwork", "OCR")  # fmt: skip
COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation",
             "code_reasoning")  # fmt: skip
MME = (*PERCEPTION, *COGNITION)
_POINTS = 200.0  # of a sub-task: 100 for its accuracy, 100 for that of whole pictures


@together
def group_hits(read: Read) -> Array:
    """`[n, 2]`: one, and whether every answer of the group is right, at the group's first row."""
    groups = Groups.named(read.clusters("group")).numbers
    names, first = np.unique(groups, return_index=True)
    wrong = np.bincount(groups, weights=~read.right, minlength=len(names))
    is_first = np.zeros(len(read), dtype=bool)
    is_first[first] = True
    return counted((wrong[groups] == 0).astype(np.float64), is_first)


@together
def mme_counts(read: Read) -> Array:
    """`[n, 14, 4]`: of a row's sub-task, its question and its picture: how many, how many right.

    DataError for a row of another sub-task.
    """
    found = np.zeros((len(read), len(MME), 4))
    place = {name: number for number, name in enumerate(MME)}
    named = [str(sample.labels.get("category")) for sample in read.samples]
    if other := sorted(set(named) - set(MME)):
        raise DataError("labels.category", f"{other}", expected=f"the sub-tasks of MME: {MME}")
    rows = np.arange(len(read))
    columns = np.array([place[name] for name in named], dtype=np.int64)
    found[rows, columns, :2] = counted(read.right.astype(np.float64))
    found[rows, columns, 2:] = group_hits(read)
    return found


def mme_points(sums: Array) -> Array:
    """Points of each sub-task, `[..., 14]`, from 0 to 200; NaN for one without a question."""
    points = 100 * ratio(sums[..., 1], sums[..., 0]) + 100 * ratio(sums[..., 3], sums[..., 2])
    return np.where(sums[..., 0] > 0, points, np.nan)


def mme_perception(sums: Array) -> Array:
    """The sum over the ten sub-tasks of perception, `[...]`, at most 2,000."""
    return _sum(mme_points(sums)[..., : len(PERCEPTION)])


def mme_cognition(sums: Array) -> Array:
    """The sum over the four sub-tasks of cognition, `[...]`, at most 800."""
    return _sum(mme_points(sums)[..., len(PERCEPTION) :])


def mme_score(sums: Array) -> Array:
    """All points as a share of what the sub-tasks that occur can give, `[...]`."""
    points = mme_points(sums)
    return _sum(points) / (_POINTS * np.maximum((~np.isnan(points)).sum(-1), 1))


def _sum(points: Array) -> Array:
    """NaN where there is nothing to add up."""
    return np.where(np.isnan(points).all(-1), np.nan, np.nansum(points, axis=-1))


METRICS: dict[str, Metric] = {
    "group_accuracy": Metric(group_hits, mean_of, KINDS, proportion=True),
    "mme_score": Metric(mme_counts, mme_score, ("statement_judgment",)),
    "mme_perception": Metric(mme_counts, mme_perception, ("statement_judgment",), best=2000.0),
    "mme_cognition": Metric(mme_counts, mme_cognition, ("statement_judgment",), best=800.0),
}
