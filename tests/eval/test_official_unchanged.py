"""Publishers' scores stay what they are, to the digit: `official.json` holds earlier ones.

Its numbers were computed at revision 42cbbc3 from the same rows and answers, which are seeded; of
VECBench without `ece` and `brier`, which that version made up where no confidence was given. The
answers are bare ones or none, which every version reads alike.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from affect_mllm.eval.benchmarks import benchmark_names, load_task
from affect_mllm.eval.score.scoring import score
from tests.eval.metrics.test_rows import rows_of

BEFORE = json.loads(Path(__file__).with_name("official.json").read_text())


def test_no_publisher_is_left_out() -> None:
    tasks = map(load_task, benchmark_names())
    assert sorted(BEFORE) == [t.name for t in tasks if t.official and not t.official.tables]


@pytest.mark.parametrize("name", BEFORE)
def test_the_numbers_are_the_same(name: str) -> None:
    task = load_task(name)
    found = score(task, *rows_of(task), compat="official")["metrics"]
    for metric, (value, n) in BEFORE[name].items():
        assert (found[metric]["value"], found[metric]["n"]) == (value, n), metric
