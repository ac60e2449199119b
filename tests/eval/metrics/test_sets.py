"""Multi-label, open-set, ranked, calibrated and judged metrics."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, hamming_loss, jaccard_score

from affect_mllm.eval.predictions import Prediction
from tests.eval.reference import read_of, values

LABELS = ("a", "b", "c")
SETS = st.lists(st.tuples(*[st.booleans()] * 3), min_size=1, max_size=20)


def of(rows):
    return [tuple(n for n, has in zip(LABELS, row, strict=True) if has) for row in rows]


@given(SETS, st.randoms(use_true_random=False))
def test_sets_equal_scikit_learn(rows, random):
    said = [tuple(random.random() < 0.5 for _ in LABELS) for _ in rows]
    read = replace(read_of(of(rows), of(said)), labels=LABELS)
    got = values(read, micro="set_micro_f1", macro="set_macro_f1", weighted="set_weighted_f1",
                 samples="set_sample_f1", jaccard="set_jaccard", exact="set_accuracy",
                 hamming="set_hamming")  # fmt: skip
    x, y = np.array(rows, dtype=int), np.array(said, dtype=int)
    for name in ("micro", "macro", "weighted", "samples"):
        assert got[name] == pytest.approx(f1_score(x, y, average=name, zero_division=0))
    assert got["jaccard"] == pytest.approx(jaccard_score(x, y, average="samples", zero_division=0))
    assert got["exact"] == accuracy_score(x, y)
    assert got["hamming"] == pytest.approx(hamming_loss(x, y))


def test_an_answer_that_was_not_read_is_wrong_even_where_nothing_is_true():
    read = replace(read_of([(), ("a",)], [None, ("a",)]), labels=LABELS)
    assert values(read, exact="set_accuracy", hamming="set_hamming") == {
        "exact": 1 / 2, "hamming": 1 / 2
    }  # fmt: skip


def test_open_sets_worked_by_hand():
    # "mad" is anger, "content" joy; "banana" is a class of its own, which lowers precision.
    read = read_of([("angry", "happy"), ("neutral",)], [("mad", "banana"), ("neutral",)])
    got = values(read, p="ew_precision", r="ew_recall", f="ew_f1", hit="hit_rate")
    assert got == {"p": 3 / 4, "r": 3 / 4, "f": 3 / 4, "hit": 1.0}


def test_known_words_alone_neither_gain_nor_lose_by_the_others():
    # "banana" has no family, nor "negative"; a sample with no other true label is left out.
    truth = [("angry", "happy", "banana"), ("negative",), ("neutral",)]
    read = read_of(truth, [("mad", "banana", "kiwi"), ("sad",), None])
    got = values(read, p="ew_known_precision", r="ew_known_recall", f="ew_known_f1")
    assert got == pytest.approx({"p": 1 / 2, "r": 1 / 4, "f": 1 / 3})
    everything = values(read, p="ew_precision", r="ew_recall")
    assert everything == pytest.approx({"p": 2 / 9, "r": 2 / 9})


def test_levels_are_told_apart():
    # One family of Ekman's and of Parrott's, one petal of Plutchik's, but no common branch.
    read = read_of([("rage",)], [("annoyed",)])
    assert values(read, f="ew_f1", both="ew_two_level_f1") == {"f": 1.0, "both": 1 / 2}


def test_silence_is_no_hit_and_stays_in_the_mean():
    read = read_of([("sad",), ("sad",)], [("sorrowful",), None])
    assert values(read, hit="hit_rate", f="ew_f1") == {"hit": 1 / 2, "f": 1 / 2}


def test_the_third_best_score_counts_and_ties_go_to_the_first_label():
    labels = ("a", "b", "c", "d")
    scores = [{"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1}, dict.fromkeys(labels, 1.0)]
    predictions = [Prediction(str(i), scores=row) for i, row in enumerate(scores)]
    read = replace(read_of(["c", "d"], ["a", "a"], labels), predictions=predictions)
    assert values(read, top3="top3_accuracy") == {"top3": 1 / 2}


def test_confidence_is_held_against_the_outcome():
    predictions = [Prediction(str(i), confidence=c) for i, c in enumerate([0.8, 0.8, 1.0, None])]
    read = read_of(["y"] * 4, ["y", "n", "y", "y"], ("y", "n"))
    read = replace(read, predictions=predictions)
    got = values(read, ece="ece", brier="brier", open="ece_open_bins")
    assert got["ece"] == pytest.approx((2 * 0.3 + 0) / 3)  # bins .8: |1.6 - 1|; 1: 0; none: out
    assert got["brier"] == pytest.approx((0.04 + 0.64 + 0) / 3)
    assert got["open"] == pytest.approx(0.6 / 4)


def test_confidence_that_nobody_gave_is_not_invented():
    """Of log-likelihoods it is the softmax's share of the answer; of nothing, no number."""
    silent = read_of(["y", "n"], ["y", "y"], ("y", "n"))
    names = {name: name for name in ("ece", "brier", "auroc", "ece_open_bins")}
    assert all(math.isnan(value) for value in values(silent, **names).values())
    scores = [{"y": math.log(0.8), "n": math.log(0.2)}, {"y": math.log(0.6), "n": math.log(0.4)}]
    predictions = [Prediction(str(i), scores=row) for i, row in enumerate(scores)]
    got = values(replace(silent, predictions=predictions), **names)
    assert got["brier"] == pytest.approx((0.2**2 + 0.6**2) / 2)
    assert got["ece"] == pytest.approx((0.2 + 0.6) / 2)
    assert got["auroc"] == 1.0


def test_a_verdict_that_the_judge_failed_to_give_is_left_out():
    read = read_of(["t"] * 3, ["x"] * 3, verdicts=[
        {"recognition": 1.0, "reasoning": 0.5}, None, {"recognition": 0.0, "reasoning": 0.0}
    ])  # fmt: skip
    assert values(read, r="recognition", t="reasoning") == {"r": 1 / 2, "t": 1 / 4}
