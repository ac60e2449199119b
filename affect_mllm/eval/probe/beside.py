"""A linear probe of the states that a checkpoint is given, on the rows that it answers for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affect_mllm.data.features import Features
from affect_mllm.eval.files import write_text_atomic
from affect_mllm.eval.probe.fits import Block, Probed, asked
from affect_mllm.log import LOGGER
from affect_mllm.types import DataError, Sample

PROBE = "probe"
PROBED = ("closed_label", "regression")  # kinds of tasks that it can answer
FIT = "train"
MOST = 5000  # rows that it is fitted on, evenly spread over the split
NEVER = -1e4  # as a log-likelihood: nothing of it is left in a softmax
HARDLY = 0.1  # share of rows without a modality, above which the probe does without it


def beside(
    path: Path,
    features: Features,
    samples: Sequence[Sample],
    key: str,
    *,
    split: str | None,
    shows: Callable[[str], bool],
    levels: Mapping[str, float] | None = None,
) -> Path | None:
    """Write to `path` what a linear probe of cached states says of `split`; None, and a line that
    says why, where it cannot.

    Fitted on the rows of `train` with the label `key`, on the time mean of each modality that
    `shows` lets be seen, all layers of an encoder side by side, and on the words as TF-IDF
    (`fits.py`). A row without a modality has the mean of the others there. Of a scale that is
    answered by `levels` a number is written as their likelihoods whose mean it is, within its ends.
    """
    having = [sample for sample in samples if key in sample.labels and not sample.clips]
    known = [sample for sample in having if sample.split == FIT]
    known = known[:: max(1, -(-len(known) // MOST))]
    rows = [*known, *(sample for sample in having if sample.split == split)]
    reason = _cannot(features, known, rows, split)
    blocks = _blocks(features, rows, shows) if reason is None else []
    if reason is None and not blocks:
        reason = "no modality is there in most rows"
    if reason is not None:
        LOGGER.info("no linear probe beside the model: %s", reason)
        return None
    groups = [str(row.group or row.speaker or row.id) for row in rows]
    try:
        what = asked(rows, key, groups=groups, folds=0, test=split)
    except DataError as error:
        LOGGER.info("no linear probe beside the model: %s", error)
        return None
    made = what.probed(PROBE, np.arange(len(rows)), blocks, probe="linear")
    write_text_atomic(path, "".join(f"{line}\n" for line in _lines(made, rows, levels or {})))
    return path


def _cannot(
    features: Features, known: Sequence[Sample], rows: Sequence[Sample], split: str | None
) -> str | None:
    if split is None or split == FIT or not known or len(rows) == len(known):
        return f"it wants labelled rows of {FIT}, and of another split to answer for"
    if features.cache is None:
        return "states are not cached (data.cache_dir)"
    lacking = sum(map(features.lacks, rows))
    if lacking:
        return f"{lacking} of {len(rows)} rows are not in the feature cache"
    return None


def _blocks(
    features: Features, rows: Sequence[Sample], shows: Callable[[str], bool]
) -> list[Block]:
    """Each modality's time means `[rows, D]`, and the words."""
    found: list[dict[str, NDArray[Any]]] = []
    for row in rows:
        arrays = features.clip(row).arrays
        found.append({n: np.asarray(a, np.float32).mean(0) for n, a in arrays.items() if shows(n)})
    blocks: list[Block] = []
    for name in sorted({name for row in found for name in row}):
        there = [row[name] for row in found if name in row]
        if len(there) >= (1 - HARDLY) * len(rows):
            mean: NDArray[Any] = np.mean(there, axis=0)
            blocks.append(np.stack([{name: mean, **row}[name] for row in found]))
    words = [row.subtitle or "" for row in rows] if shows("text") else []
    if sum(map(bool, words)) >= (1 - HARDLY) * len(rows) > 0:
        blocks.append(np.array(words, dtype=object))
    return blocks


def _lines(made: Probed, rows: Sequence[Sample], levels: Mapping[str, float]) -> list[str]:
    told = []
    for row, answer in zip(made.rows.tolist(), made.answers, strict=True):
        line = {"id": rows[row].id, "response": str(answer), "checkpoint": PROBE}
        scores = {"scores": between(float(answer), levels)} if levels else {}
        told.append(json.dumps({**line, **scores}, ensure_ascii=False))
    return told


def between(number: float, levels: Mapping[str, float]) -> dict[str, float]:
    """Log-likelihoods of levels whose mean is a number, by the two next to it; of the last level
    alone beyond the scale.
    """
    names = sorted(levels, key=levels.__getitem__)
    ends = [levels[name] for name in names]
    place = min(max(number, ends[0]), ends[-1])
    above = next(at for at, value in enumerate(ends) if value >= place)
    found = dict.fromkeys(levels, NEVER)
    found[names[above]] = 0.0
    if ends[above] > place:
        share = (place - ends[above - 1]) / (ends[above] - ends[above - 1])
        found[names[above]] = math.log(share) if share else NEVER
        found[names[above - 1]] = math.log1p(-share)
    return found
