"""Every benchmark of conf/benchmark on its fixture: a new YAML is picked up, and needs a fixture.

`benchmarks/NAME.json`: `rows` (a manifest), `gold` (right answers by id), `garbage` (an answer that
no policy reads as right), `worst` (of metrics where it depends on the labels), `neutral` (of
metrics that have no best: the values of gold and garbage), `answers` ([answer, its status] pairs)
and `case`: changed answers with metric values worked by hand. An answer is a response, or a
predictions row without its id.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest

from affect_mllm import config
from affect_mllm.data import manifest
from affect_mllm.eval.benchmarks import benchmark_names, load_suite, load_task, suite_names
from affect_mllm.eval.emotion_wheel.own import own_tables
from affect_mllm.eval.metrics.registry import METRICS
from affect_mllm.eval.predictions import read_predictions
from affect_mllm.eval.read.verdicts import Verdicts
from affect_mllm.eval.score.scoring import Compat, read_answers, score
from affect_mllm.eval.task import Task
from affect_mllm.types import ConfigError

FOLDER = Path(__file__).parent / "benchmarks"
PROMPTS = Path(__file__).parent / "prompts.json"
NAMES = benchmark_names()
every_benchmark = pytest.mark.parametrize("name", NAMES)


@cache
def fixture(name: str) -> dict[str, Any]:
    path = FOLDER / f"{name}.json"
    assert path.is_file(), f"{name} has no fixture {path.name}: a benchmark needs one"
    return json.loads(path.read_text())


@pytest.fixture
def files(tmp_path):
    """A function that writes a benchmark's manifest and a predictions file, and reads both."""

    def write(name: str, answers: dict[str, Any]):
        rows = "".join(json.dumps(row) + "\n" for row in fixture(name)["rows"])
        (tmp_path / "manifest.jsonl").write_text(rows)
        said = [
            {"id": id, **(answer if isinstance(answer, dict) else {"response": answer})}
            for id, answer in answers.items()
        ]
        text = "".join(json.dumps(row) + "\n" for row in said)
        (tmp_path / "predictions.jsonl").write_text(text)
        return (
            list(manifest.read(tmp_path / "manifest.jsonl")),
            read_predictions(tmp_path / "predictions.jsonl"),
        )

    return write


def verdicts(name: str, quality: str, changed: Any = ()) -> Verdicts | None:
    """A judge's scores: the best or the worst, and the worst for changed answers."""
    found = fixture(name).get("verdicts")
    if found is None:
        return None
    given = {id: found["worst" if id in changed else quality] for id in fixture(name)["gold"]}
    return Verdicts(given)


def worst(task: Task, metric: str) -> float:
    """A metric's declared worst, else the fixture's, else the width of the scale."""
    declared = METRICS[metric].worst
    if declared is None:
        width = task.scale[1] - task.scale[0]
        return fixture(task.name).get("worst", {}).get(metric, width)
    return declared


@every_benchmark
def test_right_answers_reach_each_metrics_best_and_garbage_its_worst(name, files):
    task, case = load_task(name), fixture(name)
    neutral = case.get("neutral", {})
    assert neutral.keys() == {n for n in task.metrics if METRICS[n].neutral}
    rows, said = files(name, case["gold"])
    best = score(task, rows, said, verdicts=verdicts(name, "best"))
    assert best["status"]["ok"] == best["n"] == len(case["gold"])
    assert {n: m["value"] for n, m in best["metrics"].items()} == pytest.approx(
        {n: neutral[n][0] if n in neutral else METRICS[n].best for n in task.metrics}
    )
    rows, said = files(name, dict.fromkeys(case["gold"], case["garbage"]))
    lowest = score(task, rows, said, verdicts=verdicts(name, "worst"))
    assert {n: m["value"] for n, m in lowest["metrics"].items()} == pytest.approx(
        {n: neutral[n][1] if n in neutral else worst(task, n) for n in task.metrics}
    )


@every_benchmark
def test_every_answer_has_the_status_of_the_fixture(name, files):
    task, case = load_task(name), fixture(name)
    found = {}
    for answer, status in case["answers"]:
        rows, said = files(name, {"r0": answer})
        read = read_answers(task, rows, said, verdicts=verdicts(name, "best"))
        found[json.dumps(answer)] = read.status[0], status
    assert {a: got for a, (got, _) in found.items()} == {a: want for a, (_, want) in found.items()}
    statuses = {status for _, status in case["answers"]}
    assert {"ok", "empty", "refused"} <= statuses | {"ok"}, "the fixture shows too little"


@every_benchmark
def test_a_case_worked_by_hand_has_its_values(name, files):
    task, case = load_task(name), fixture(name)
    changes = case["case"]["changes"]
    rows, said = files(name, case["gold"] | changes)
    found = score(task, rows, said, verdicts=verdicts(name, "best", changes))["metrics"]
    expected = case["case"]["metrics"]
    assert expected, "the fixture has no value worked by hand"
    assert {n: found[n]["value"] for n in expected} == pytest.approx(expected, abs=1e-6)


@every_benchmark  # not a choice of them: one faulty YAML would end the collection of all tests
def test_others_scorers_stand_beside_ours(name, files):
    task, case = load_task(name), fixture(name)
    rows, said = files(name, case["gold"] | case["case"]["changes"])
    for compat in get_args(Compat)[1:]:
        if compat not in task.scorers:
            with pytest.raises(ConfigError, match=r"no published scorer|no scorer of"):
                score(task, rows, said, compat=compat)
            continue
        scorer = task.scorers[compat]
        ours = score(task, rows, said)["metrics"]
        result = score(task, rows, said, compat=compat, tables=own_tables())
        assert set(result["metrics"]) == set(scorer.metrics)
        assert scorer.source
        assert result["official"]["differences"]
        for metric, line in result["official"]["table"].items():
            assert line["ours"] == ours[metric]["value"]
            assert line["official"] == result["metrics"][metric]["value"]
            if line["official"] is not None:
                gap = line["official"] - line["ours"]
                assert line["difference"] == pytest.approx(gap, abs=2e-6)  # three rounded numbers


@every_benchmark
def test_the_question_can_be_asked_of_every_row(name, files):
    task = load_task(name)
    rows, _ = files(name, {})
    for row in task.select(rows):
        asked = task.ask(row)
        assert "{" not in asked
        assert len(asked) >= 20


@every_benchmark
def test_a_changed_prompt_is_a_changed_version(name, files):
    """`prompts.json` has what each version asks of the fixture's first row, and keeps old ones."""
    task = load_task(name)
    rows, _ = files(name, {})
    asked = task.ask(task.select(rows)[0])
    known = json.loads(PROMPTS.read_text()).get(name, {task.version: asked})
    assert task.version in known, f"add the prompt of version {task.version} to {PROMPTS.name}"
    assert known[task.version] == asked, "the prompt changed: so must the version"


def test_the_prompts_of_all_benchmarks_are_kept():
    assert set(json.loads(PROMPTS.read_text())) == set(NAMES)


@every_benchmark
def test_hydra_makes_the_same_task(name):
    assert config.build(config.compose("eval", [f"benchmark={name}"]).benchmark) == load_task(name)


def test_no_fixture_is_left_without_its_benchmark():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(NAMES)


@pytest.mark.parametrize("name", suite_names())
def test_a_suite_has_benchmarks_that_exist(name):
    assert len(load_suite(name).benchmarks) > 1


PROGRAM = """
import json, random, sys
from pathlib import Path
from affect_mllm.data import manifest
from affect_mllm.eval.benchmarks import load_task
from affect_mllm.eval.predictions import read_predictions
from affect_mllm.eval.score.scoring import score
folder, name = Path(sys.argv[1]), sys.argv[2]
rows = list(manifest.read(folder / "manifest.jsonl"))
said = read_predictions(folder / "predictions.jsonl")
random.Random(int(sys.argv[3])).shuffle(rows)
random.Random(int(sys.argv[3]) + 1).shuffle(said)
print(json.dumps(score(load_task(name), rows, said), sort_keys=True))
assert "torch" not in sys.modules
"""


@pytest.mark.parametrize(
    "name", ["dfew", "ov_merd_plus", "cmu_mosi_intensity", "mafw_compound", "vecbench_fi8"]
)
def test_another_order_in_another_process_gives_the_same_bytes(name, files, tmp_path):
    case = fixture(name)
    rows, said = files(name, case["gold"] | case["case"]["changes"])
    random.Random(0).shuffle(rows)
    here = json.dumps(score(load_task(name), rows, said), sort_keys=True)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), name, "3"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == here
