"""Other wordings and repeats beside the plain answers: differences, best, worst and spread."""

from __future__ import annotations

from pathlib import Path

import pytest

from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.score.scoring import read_answers
from affect_mllm.eval.score.varied import varied
from affect_mllm.types import Sample
from tests.eval.runs import answers, corpus, task

ROWS = corpus(12)  # happy, sad, angry in turn


def read(wrong: int):
    """Twelve answers of which the first `wrong` name another label."""
    said = {s.id: "angry" if s.labels["emotion"] != "angry" else "sad" for s in ROWS[:wrong]}
    return read_answers(task(), ROWS, answers(ROWS, said))


def test_each_way_is_paired_with_the_plain_one_by_hand() -> None:
    found = varied(task(), read(3), {"a": read(0), "b": read(9), "c": read(3)}, with_plain=True)
    rows = {row["name"]: row for row in found["rows"]}
    assert found["plain"]["metrics"]["accuracy"]["value"] == 9 / 12
    # Right of 12: plain 9, a 12, b 3, c 9.
    for name, right, n10, n01 in (("a", 12, 3, 0), ("b", 3, 0, 6), ("c", 9, 0, 0)):
        row = rows[name]
        assert row["metrics"]["accuracy"]["value"] == right / 12
        assert (row["paired"]["n10"], row["paired"]["n01"]) == (n10, n01)
        assert row["paired"]["metric"]["value"] == pytest.approx((right - 9) / 12)
    # McNemar's exact test of single samples: 3 and 6 one-sided pairs; then Holm of three.
    assert [rows[name]["paired"]["p"] for name in "abc"] == pytest.approx([0.25, 0.03125, 1.0])
    assert [rows[n]["paired"]["p_holm"] for n in "abc"] == pytest.approx([0.5, 0.09375, 1.0])
    assert found["best"] == {"name": "a", "value": 1.0}
    assert found["worst"] == {"name": "b", "value": 0.25}
    # Of 9, 12, 3 and 9 twelfths: mean 8.25, deviations .75, 3.75, −5.25, .75.
    assert found["spread"]["n"] == 4
    assert found["spread"]["range"] == pytest.approx(9 / 12)
    assert found["spread"]["mean"] == pytest.approx(8.25 / 12)
    assert found["spread"]["sd"] == pytest.approx(
        ((2 * 0.5625 + 14.0625 + 27.5625) / 3) ** 0.5 / 12
    )
    assert found["stability"]["agreement"] == pytest.approx(3 / 12), "the last three samples"


def test_a_way_that_says_the_same_differs_by_nothing() -> None:
    found = varied(task(), read(4), {"same": read(4)}, with_plain=True)
    pair = found["rows"][0]["paired"]
    assert (pair["metric"]["value"], pair["n10"], pair["n01"], pair["p"]) == (0.0, 0, 0, 1.0)
    assert found["spread"]["range"] == found["spread"]["sd"] == 0.0
    assert found["stability"]["agreement"] == 1.0


def test_the_greedy_answers_are_no_repeat() -> None:
    found = varied(task(), read(0), {"1": read(6), "2": read(3)}, with_plain=False)
    assert found["best"] == {"name": "2", "value": 0.75}
    assert found["spread"]["n"] == 2
    assert found["spread"]["mean"] == pytest.approx(0.625)
    assert varied(task(), read(0), {"1": read(6)}, with_plain=False)["spread"]["sd"] is None


def test_the_best_error_is_the_least_one() -> None:
    scale = task(kind="regression", labels=(), low=-1, high=1, metrics=("mae", "pearson"))
    rows = [
        Sample(f"s{i}", Path(), split="test", labels={"sentiment": i / 4 - 1}) for i in range(9)
    ]

    def off(by: float):
        said = [Prediction(s.id, f"{s.labels['sentiment'] * (1 - by):.4f}") for s in rows]
        return read_answers(scale, rows, said)

    found = varied(scale, off(0.5), {"near": off(0.1), "far": off(0.9)}, with_plain=True)
    assert METRICS["mae"].scale == "error"
    assert (found["best"]["name"], found["worst"]["name"]) == ("near", "far")
    by_name = {row["name"]: row["paired"]["metric"]["value"] for row in found["rows"]}
    assert by_name["near"] < 0 < by_name["far"], "way minus plain, in the metric's own unit"


def test_of_no_value_nothing_is_best() -> None:
    scale = task(kind="regression", labels=(), low=-1, high=1, metrics=("pearson",))
    rows = [Sample(f"s{i}", Path(), split="test", labels={"sentiment": 0.5}) for i in range(4)]
    said = read_answers(scale, rows, [Prediction(s.id, "0.1") for s in rows])
    found = varied(scale, said, {"a": said}, with_plain=True)
    assert found["best"] is found["worst"] is found["spread"] is None
    assert found["rows"][0]["paired"]["metric"]["value"] is None
