"""Overlap of texts as a metric: means over all samples, and what it needs."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from affect_mllm.eval.metrics import overlap
from affect_mllm.eval.task import Task
from affect_mllm.types import ConfigError
from tests.eval.reference import read_of, values

TRUTH = "he fell over the dog"


def test_an_answer_that_was_not_read_counts_as_none() -> None:
    read = read_of([TRUTH, TRUTH, TRUTH], [TRUTH, "he fell", None])
    # "he fell": all of its words, two of five; F = 2 · 1 · 0.4 / 1.4.
    assert values(read, rouge="rouge_l")["rouge"] == pytest.approx((1 + 4 / 7) / 3)
    assert values(read, bleu="bleu")["bleu"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("package", "metric"),
    [("nltk.translate.bleu_score", overlap.bleu), ("rouge_score.rouge_scorer", overlap.rouge_l)],
)
def test_a_missing_package_is_named_with_the_extra(package, metric, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    overlap._scorer.cache_clear()
    with pytest.raises(ConfigError, match=r"affect-mllm\[text\]"):
        metric("a b c d", TRUTH)
    overlap._scorer.cache_clear()


def test_a_description_needs_a_judge_only_for_judged_metrics() -> None:
    overlapping = Task("toy", "1", "Why?", kind="description", metrics=("rouge_l", "bleu"))
    assert overlapping.verdicts == {}
    wrong: list[dict[str, Any]] = [
        {"metrics": ("rating",)},
        {"metrics": ("bleu",), "verdicts": {"rating": (0, 2)}},
    ]
    for changes in wrong:
        with pytest.raises(ConfigError, match="verdicts"):
            Task("toy", "1", "Why?", kind="description", **changes)
