"""The emotion wheel on published tables against the outputs of its authors' code.

Cases and tables lie in the folder that AFFECT_REFERENCE_DIR names: `emotion_wheel_cases.json` and
`emotion_wheel_official/{2025,2026}`.
"""

from __future__ import annotations

import math
from functools import cache

import pytest

from affect_mllm.eval.emotion_wheel import score
from affect_mllm.eval.emotion_wheel.published import read_tables
from affect_mllm.eval.emotion_wheel.tables import WheelTables
from affect_mllm.eval.metrics.intervals import measure
from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.read.base import Space
from affect_mllm.eval.read.policies import extract
from tests.eval.reference import FOLDER, VARIABLE, load, needs_reference, read_of

pytestmark = needs_reference

CASES = load("emotion_wheel_cases.json")
# Tables, the key of their results in a case, and what 0/0 is in that year's code.
YEARS = {"2025": ("released_2025_tables", math.nan), "2026": ("fixed_2026_tables", 0.0)}
EXACT = 1e-9


@cache
def tables(year: str) -> WheelTables:
    assert FOLDER is not None
    return read_tables(FOLDER / "emotion_wheel_official" / year)


def ours(name: str) -> str:
    """The name of a published metric's map here."""
    return {"case1": "form", "case2": "synonym"}.get(name, name.removeprefix("case3_"))


def agrees(found: score.SetScore, expected: dict[str, float | None]) -> bool:
    return all(
        math.isnan(getattr(found, key)) if value is None
        else getattr(found, key) == pytest.approx(value, abs=EXACT)
        for key, value in expected.items()
    )  # fmt: skip


def test_the_folder_has_cases():
    assert CASES["cases"], VARIABLE
    assert CASES["hit_rate_cases"], VARIABLE


@pytest.mark.parametrize("year", YEARS)
@pytest.mark.parametrize("case", CASES.get("cases", ()), ids=lambda case: case["id"])
def test_set_scores_equal_the_authors(case, year):
    key, undefined = YEARS[year]
    pair = [(case["gt"], case["pred"])]
    found = score.set_scores(pair, tables(year), undefined=undefined)
    for name, expected in case[key]["per_metric"].items():
        assert agrees(found[ours(name)], expected), (name, found[ours(name)], expected)
    for level, expected in case[key]["wheel_mean"].items():
        mean = score.mean_score(found, tables(year), level)
        assert agrees(mean, expected), (level, mean, expected)


@pytest.mark.parametrize("year", YEARS)
@pytest.mark.parametrize("case", CASES.get("cases", ()), ids=lambda case: case["id"])
def test_labels_fall_into_the_authors_classes(case, year):
    wheel = tables(year)
    for label, classes in case.get(f"mapped_{year}", {}).items():
        found = dict(zip(wheel.maps, wheel.classes(label), strict=True))
        assert {name: found[ours(name)] for name in classes} == classes, label


@pytest.mark.parametrize("case", CASES.get("hit_rate_cases", ()), ids=lambda case: case["id"])
def test_hit_rates_equal_the_authors(case):
    ids = list(case["gt"])
    truth = [(case["gt"][id],) for id in ids]
    read = read_of(truth, [tuple(case["pred"][id]) for id in ids], tables=tables("2025"))
    found = measure(read, {"hit": METRICS["hit_rate"]}, ids)["hit"]
    assert found.value == pytest.approx(case["hit_mean_over_wheels"], abs=EXACT)


@pytest.mark.parametrize("case", CASES.get("hit_rate_cases", ()), ids=lambda case: case["id"])
def test_hits_and_their_precision_equal_the_authors_on_each_wheel(case):
    wheel = tables("2025")
    candidates = sorted(set(case["gt"].values()))
    for name, expected in case["per_wheel"].items():
        place = wheel.maps.index(f"{name}_level1")
        known = [id for id in case["gt"] if wheel.classes(case["gt"][id])[place]]
        hits = [score.hits(case["gt"][id], case["pred"][id], wheel, [place])[0] for id in known]
        precision = [
            score.candidate_precision(
                case["gt"][id], case["pred"][id], candidates, tables=wheel, place=place
            )
            for id in known
        ]
        assert sum(map(bool, hits)) / len(hits) == pytest.approx(expected["hit"], abs=EXACT)
        assert sum(precision) / len(precision) == pytest.approx(expected["mscore"], abs=EXACT)


@pytest.mark.parametrize("case", CASES.get("string_to_list_cases", ()), ids=lambda c: c["input"])
def test_lists_are_cut_as_the_authors_cut_them(case):
    found = extract(case["input"], Space(), "affectgpt_list").value
    assert list(found or ()) == case["output"]
