"""Our metrics and extraction against the outputs of public toolkits' own scoring functions.

The cases lie in `scoring_cases.json` of the folder that AFFECT_REFERENCE_DIR names.
"""

from __future__ import annotations

import pytest

from tests.eval.reference import VARIABLE, load, needs_reference, same
from tests.eval.reference_choices import FUNCTIONS as CHOICES
from tests.eval.reference_functions import FUNCTIONS
from tests.eval.reference_texts import FUNCTIONS as TEXTS

pytestmark = needs_reference

# Of these functions nothing is compared, and why.
NOT_OURS = {
    ("Human-MME", "ranking"): "of Human-MME its choice and yes/no questions are scored, no orders",
    ("Human-MME", "bbox_iou_best_format"): "nor boxes",
    ("MMMU", "open_pipeline"): "lmms-eval compares single characters of one of a set's members: "
    "which one depends on the order of the set",
    ("text generation", "corpus"): "no benchmark here is scored by BLEU, chrF or TER of a corpus",
    ("statistics", "median_bug"): "the middle of unsorted numbers; nothing here reports a median",
}
CASES = [
    case
    for case in load("scoring_cases.json").get("cases", ())
    if (case["benchmark"], case["function"]) not in NOT_OURS
]
SINGLE_PRECISION = 1.001e-4  # one unit of the four digits that MMSA rounds to


def test_the_folder_has_cases():
    assert CASES, f"no case in scoring_cases.json of {VARIABLE}"


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_published_scorer_says_the_same(case):
    key = case["benchmark"], case["function"]
    general = (CHOICES | TEXTS).get((*key, case["source"]))
    assert general or key in FUNCTIONS, f"{key} has no function here, and no reason in NOT_OURS"
    options = {"fractions": case["source"].endswith("Overall")} if key[0] == "MME-Emotion" else {}
    found = (general or FUNCTIONS[key])(case["input"], **options)
    tolerance = SINGLE_PRECISION if case["source"] == "mmsa" else 1e-9
    assert same(found, case["output"], tolerance), f"{found}\nexpected: {case['output']}"
