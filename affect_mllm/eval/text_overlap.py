"""BLEU and ROUGE-L of a generated text, by nltk and rouge-score (the extra `text`)."""

from __future__ import annotations

import warnings


def bleu(prediction: str, reference: str) -> float:
    """Sentence BLEU-4 without smoothing on whitespace tokens, as Emo-gml/EmoBench-M@8916147 has it."""
    from nltk.translate.bleu_score import sentence_bleu

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no overlap of some order: nearly 0, as stated
        return float(sentence_bleu([reference.split()], prediction.split()))


def rouge_l(prediction: str, reference: str) -> float:
    """F of ROUGE-L on stemmed words."""
    from rouge_score.rouge_scorer import RougeScorer

    return float(RougeScorer(["rougeL"], use_stemmer=True).score(reference, prediction)["rougeL"].fmeasure)
