"""BLEU and ROUGE-L of a generated text, by nltk and rouge-score (the extra `text`)."""

from __future__ import annotations

import warnings
from typing import Any


def bleu(prediction: str, reference: str) -> float:
    """Sentence BLEU-4 without smoothing on whitespace tokens.

    As Emo-gml/EmoBench-M@8916147 has it: nearly 0 where some order of n-grams has no overlap.
    """
    from nltk.translate.bleu_score import sentence_bleu

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about the orders without overlap
        score: Any = sentence_bleu([reference.split()], prediction.split())
    return float(score)


def rouge_l(prediction: str, reference: str) -> float:
    """F of ROUGE-L on stemmed words."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    return float(scorer.score(reference, prediction)["rougeL"].fmeasure)
