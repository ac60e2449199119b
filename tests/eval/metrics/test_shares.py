"""Distributions of emotions: measures against scipy, what is read, what counts as the worst."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import distance
from scipy.stats import entropy

from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.read.base import Space
from affect_mllm.eval.read.policies import extract
from affect_mllm.eval.score.one_answer import answer_of
from affect_mllm.eval.score.scoring import score
from affect_mllm.eval.score.summary import majority_predictions
from affect_mllm.eval.task import Task
from affect_mllm.types import DataError
from tests.eval.reference import read_of, values
from tests.eval.runs import sample

LABELS = ("joy", "fear", "anger")
NAMES = ("chebyshev", "canberra", "clark", "kl_divergence", "cosine", "intersection")
TASK = Task("toy", "1", "How many?", LABELS, kind="distribution", metrics=NAMES)


def rows(*distributions: dict) -> list:
    return [
        sample(f"s{i}", "joy", labels={"distribution": each})
        for i, each in enumerate(distributions)
    ]


def test_measures_are_scipys() -> None:
    truth, said = np.random.default_rng(0).dirichlet(np.ones(3), size=(2, 20))
    named = [[dict(zip(LABELS, row, strict=True)) for row in side] for side in (truth, said)]
    read = replace(read_of(*named), labels=LABELS)
    pairs = list(zip(truth, said, strict=True))
    assert values(read, **{name: name for name in NAMES}) == pytest.approx(
        {
            "chebyshev": np.mean([distance.chebyshev(t, s) for t, s in pairs]),
            "canberra": np.mean([distance.canberra(t, s) for t, s in pairs]),
            "clark": np.mean([np.linalg.norm((t - s) / (t + s)) for t, s in pairs]),
            "kl_divergence": np.mean([entropy(t, s) for t, s in pairs]),
            "cosine": np.mean([1 - distance.cosine(t, s) for t, s in pairs]),
            "intersection": np.mean([1 - distance.cityblock(t, s) / 2 for t, s in pairs]),
        }
    )


def test_an_unread_answer_is_worse_than_the_most_wrong_one() -> None:
    truth = rows({"joy": 1})
    wrong, none = (
        score(TASK, truth, [Prediction("s0", response)])["metrics"]
        for response in ("fear 100", "no idea")
    )
    for name in ("cosine", "intersection"):
        assert none[name]["value"] == wrong[name]["value"] == 0
    for name in ("chebyshev", "canberra", "clark", "kl_divergence"):
        assert math.isfinite(wrong[name]["value"])
        assert none[name]["value"] >= wrong[name]["value"] > 0


@pytest.mark.parametrize(
    ("response", "shares"),
    [
        ("joy 60 %, fear 40 %", (0.6, 0.4, 0)),
        ('{"anger": 1, "joy": 3}', (0.75, 0, 0.25)),
        ("Joy: 0.5; scared (0.5)", (0.5, 0.5, 0)),
        ("joy is 2, fear is 2, anger is 4.", (0.25, 0.25, 0.5)),
        ("快乐：80，愤怒：20", (0.8, 0, 0.2)),
    ],
)
def test_numbers_after_labels_are_their_shares(response, shares) -> None:
    found = extract(response, Space(LABELS), "shares_v3").value
    assert found == pytest.approx(dict(zip(LABELS, shares, strict=True)))


def test_log_likelihoods_are_shares_by_softmax() -> None:
    scores = {"joy": math.log(0.7), "fear": math.log(0.2), "anger": math.log(0.1)}
    found = answer_of(
        TASK, TASK.space(rows({"joy": 1})[0]), Prediction("s0", scores=scores), policy="shares_v3"
    )
    assert found.value == pytest.approx({"joy": 0.7, "fear": 0.2, "anger": 0.1})


def test_the_baseline_answers_the_mean() -> None:
    truth = rows({"joy": 3, "fear": 1}, {"joy": 1, "fear": 3})
    said = majority_predictions(TASK, truth)
    found = answer_of(TASK, TASK.space(truth[0]), said[0], policy="shares_v3").value
    assert found == pytest.approx({"joy": 0.5, "fear": 0.5, "anger": 0}, abs=1e-5)


@pytest.mark.parametrize(
    "distribution", [{}, {"joy": 0}, {"joy": -1, "fear": 2}, {"awe": 1}, {"joy": "1"}, "joy", [1]]
)
def test_what_is_no_distribution_is_named(distribution) -> None:
    with pytest.raises(DataError, match=r"s1: .*(.|\n)*at least 0"):
        TASK.select(rows({"joy": 1}, distribution))
