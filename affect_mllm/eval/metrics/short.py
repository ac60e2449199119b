"""Short texts against one true text or several: VQA accuracy, ANLS, relaxed accuracy, and others.

The truth is a tuple of texts. An answer that was not read scores 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from affect_mllm.eval.metrics.base import Array, Metric, Statistic, counted, mean_of
from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.read.mmmu import says
from affect_mllm.eval.read.vqa_words import evalai_form, vlmevalkit_form, vqa_form
from affect_mllm.types import Sample

KINDS = ("short_answer",)
FORMULA = "Handwritten Mathematical Expression Recognition"  # OCRBench: spaces do not count
_AGREE = 3  # people whose answer makes one fully right
_NEAR = 0.05  # of the true number
_LEAST = 0.5  # similarity below which a text is another one
_FULL_WIDTH = {0x3000: " "} | {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
_MONEY = re.compile(r"[$€£¥](?=[\d.])|(?<=\d),(?=\d{3}(?:\D|$))")

Scorer = Callable[[str, Sequence[str]], float]


def vqa_accuracy(form: Callable[[str], str]) -> Scorer:
    """The mean over people left out of min(1, others who said the same / 3), texts in a `form`.

    Antol et al. 2015; of fewer than four people all others have to agree.
    """

    def score(answer: str, answers: Sequence[str]) -> float:
        said, theirs = form(answer), [form(each) for each in answers]
        same, others = theirs.count(said), len(theirs) - 1
        if not others:
            return float(same)
        shares = [min(1.0, (same - (each == said)) / min(_AGREE, others)) for each in theirs]
        return sum(shares) / len(shares)

    return score


def official_vqa_accuracy(answer: str, answers: Sequence[str]) -> float:
    """GT-Vision-Lab/VQA@a013f00: texts are compared as they are where all people said the same."""
    form = vqa_form if len({each.strip() for each in answers}) > 1 else str.strip
    return vqa_accuracy(form)(answer, answers)


def exact_match(answer: str, answers: Sequence[str]) -> float:
    """Whether it is one of the true ones but for letter case and spaces around."""
    said = answer.strip().lower()
    return float(any(each.strip().lower() == said for each in answers))


def anls(answer: str, answers: Sequence[str]) -> float:
    """Similarity to the nearest true text, 1 − edits / length; 0 below a half (Biten et al. 2019).

    Letter case and runs of spaces do not count, though the length has them, as in the evaluation of
    the Robust Reading Competition.
    """
    found = max((1 - _distance(answer, each) for each in answers), default=0.0)
    return found if found >= _LEAST else 0.0


def _distance(answer: str, truth: str) -> float:
    """Edits as a share of the longer text; 1 where there must be more than a half."""
    length = max(len(answer), len(truth))
    first, second = (" ".join(each.lower().split()) for each in (answer, truth))
    if length and abs(len(first) - len(second)) > _LEAST * length:
        return 1.0
    return edits(first, second) / length if length else 0.0


def edits(first: str, second: str) -> int:
    """Levenshtein's distance."""
    row = list(range(len(second) + 1))
    for place, letter in enumerate(first, start=1):
        above = row
        row = [place]
        for (corner, up), other in zip(pairwise(above), second, strict=True):
            row.append(min(up + 1, row[-1] + 1, corner + (letter != other)))
    return row[-1]


def relaxed(plain: Callable[[str], str]) -> Scorer:
    """ChartQA: a number within 5 % of the true one, else the same text (Masry et al. 2022, 5.1).

    Texts are made `plain` first. "5%" is 0.05; a true 0 has to be met as a text.
    """

    def score(answer: str, answers: Sequence[str]) -> float:
        return float(any(_near(plain(answer), plain(each)) for each in answers))

    return score


def _near(answer: str, truth: str) -> bool:
    said, wanted = _number(answer), _number(truth)
    if said is not None and wanted:
        return abs(said - wanted) / abs(wanted) <= _NEAR
    return answer.lower() == truth.lower()


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def without_marks(text: str) -> str:
    """`text` without a currency sign before a number, and without commas between thousands."""
    return _MONEY.sub("", text.strip())


def folded(text: str) -> str:
    """Characters of full width as those of ASCII."""
    return text.translate(_FULL_WIDTH)


def contained(plain: Callable[[str], str]) -> Callable[[Sample, str, Sequence[str]], float]:
    """OCRBench: whether a true text is a part of the answer, in any case; of formulas without
    spaces, in its case (Liu et al. 2023). Texts are made `plain` first, but for formulas."""

    def score(sample: Sample, answer: str, answers: Sequence[str]) -> float:
        formula = sample.labels.get("question_type") == FORMULA
        form = _formula if formula else lambda text: plain(text).lower().strip().replace("\n", " ")
        return float(any(form(each) in form(answer) for each in answers))

    return score


def _formula(text: str) -> str:
    return text.strip().replace("\n", " ").replace(" ", "")


def mmmu(sample: Sample, answer: str, answers: Sequence[str]) -> float:
    """MMMU: the letter where the row has options, else what an open answer says."""
    return float(answer in answers if sample.labels.get("options") else says(answer, answers))


def of_pair(score: Scorer) -> Statistic:
    """The statistic `[n, 2]` of a score that depends on answer and truth alone."""
    return of_row(lambda _, answer, answers: score(answer, answers))


def of_row(score: Callable[[Sample, str, Sequence[str]], float]) -> Statistic:
    """The statistic `[n, 2]`: one, and the score of the answer, 0 where nothing was read."""

    def statistic(read: Read) -> Array:
        rows = zip(read.samples, read.answers, read.truth, strict=True)
        found = [score(s, a, t) if isinstance(a, str) else 0.0 for s, a, t in rows]
        return counted(np.array(found, dtype=np.float64))

    return statistic


def _pair(score: Scorer) -> Metric:
    return Metric(of_pair(score), mean_of, KINDS)


METRICS: dict[str, Metric] = {
    "vqa_accuracy": _pair(vqa_accuracy(vqa_form)),
    "vqa_accuracy_official": _pair(official_vqa_accuracy),
    "vqa_accuracy_evalai": _pair(vqa_accuracy(evalai_form)),
    "vqa_accuracy_vlmevalkit": _pair(vqa_accuracy(vlmevalkit_form)),
    "exact_match": _pair(exact_match),
    "anls": _pair(anls),
    "relaxed_accuracy": _pair(relaxed(without_marks)),
    "relaxed_accuracy_plain": _pair(relaxed(str)),
    "relaxed_accuracy_stripped": _pair(relaxed(str.strip)),
    "contains": Metric(of_row(contained(folded)), mean_of, KINDS),
    "contains_plain": Metric(of_row(contained(str)), mean_of, KINDS),
    "mmmu_accuracy": Metric(of_row(mmmu), mean_of, KINDS),
}
