"""Overlap of a description with the reference: BLEU and ROUGE-L (nltk, rouge-score; extra `text`).

They need no judge, and say little about meaning: published beside judged scores, never instead.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from affect_mllm.eval.metrics.base import Array, Metric, Statistic, counted, mean_of
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.types import ConfigError

KINDS = ("description",)
_FIX = "pip install 'affect-mllm[text]'"


def bleu(prediction: str, reference: str) -> float:
    """Sentence BLEU-4 without smoothing on whitespace tokens.

    As Emo-gml/EmoBench-M@8916147 has it: nearly 0 where some order of n-grams has no overlap, as
    in every text of fewer than four words. ConfigError without nltk.
    """
    try:
        from nltk.translate.bleu_score import sentence_bleu
    except ModuleNotFoundError as error:
        raise ConfigError("metric bleu", f"{error.name} is not installed", fix=_FIX) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about the orders without overlap
        score: Any = sentence_bleu([reference.split()], prediction.split())
    return float(score)


def rouge_l(prediction: str, reference: str) -> float:
    """F of ROUGE-L on stemmed words. ConfigError without rouge-score."""
    return float(_scorer().score(reference, prediction)["rougeL"].fmeasure)


@cache
def _scorer() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ModuleNotFoundError as error:
        raise ConfigError("metric rouge_l", f"{error.name} is not installed", fix=_FIX) from error
    return RougeScorer(["rougeL"], use_stemmer=True)


def overlaps(of: Callable[[str, str], float]) -> Statistic:
    """A statistic `[n, 2]`: one, and the overlap of answer and truth, 0 where nothing was read."""

    def statistic(read: Read) -> Array:
        pairs = zip(read.answers, read.truth, strict=True)
        return counted(np.array([of(str(a), t) if a is not None else 0.0 for a, t in pairs]))

    return statistic


METRICS: dict[str, Metric] = {
    "bleu": Metric(overlaps(bleu), mean_of, KINDS),
    "rouge_l": Metric(overlaps(rouge_l), mean_of, KINDS),
}
