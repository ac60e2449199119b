"""Our metrics and extraction against the outputs of public toolkits' own scoring functions.

The cases lie in `scoring_cases.json` of the folder that AFFECT_REFERENCE_DIR names.
"""

from __future__ import annotations

import pytest

from tests.eval.reference import VARIABLE, load, needs_reference, same
from tests.eval.reference_functions import FUNCTIONS

pytestmark = needs_reference

# General vision-language benchmarks that this project does not score.
NOT_OURS = dict.fromkeys(
    (
        *("AI2D", "ChartQA", "DocVQA", "GQA/OCRVQA", "Human-MME", "MCQ", "MM-Vet", "MMBench"),
        *("MME", "MME/POPE/Hallusion", "MMMU", "MMStar", "MVBench", "OCRBench", "POPE"),
        *("SEED-Bench", "ScienceQA", "TextVQA", "VQA", "VQAv2", "Video-MME", "Video-MME-v2"),
        *("WorldSense", "text generation"),
    ),
    "a general vision-language benchmark, which has no scorer here yet",
)
NOT_OURS_FUNCTIONS = {
    (
        "statistics",
        "median_bug",
    ): "the middle of unsorted numbers; nothing here reports a median",
}
CASES = [case for case in load("scoring_cases.json").get("cases", ()) if
         case["benchmark"] not in NOT_OURS
         and (case["benchmark"], case["function"]) not in NOT_OURS_FUNCTIONS]  # fmt: skip
SINGLE_PRECISION = 1.001e-4  # one unit of the four digits that MMSA rounds to


def test_the_folder_has_cases():
    assert CASES, f"no emotion case in scoring_cases.json of {VARIABLE}"


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_published_scorer_says_the_same(case):
    key = case["benchmark"], case["function"]
    assert key in FUNCTIONS, f"{key} has no function here, and no reason in NOT_OURS"
    options = {"fractions": case["source"].endswith("Overall")} if key[0] == "MME-Emotion" else {}
    found = FUNCTIONS[key](case["input"], **options)
    tolerance = SINGLE_PRECISION if case["source"] == "mmsa" else 1e-9
    assert same(found, case["output"], tolerance), f"{found}\nexpected: {case['output']}"
