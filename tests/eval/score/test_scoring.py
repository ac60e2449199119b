"""Scores of predictions with known errors."""

from __future__ import annotations

import json
import logging
import random
import subprocess
import sys
from dataclasses import replace

import pytest

from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.read.verdicts import Verdicts
from affect_mllm.eval.score.scoring import score
from affect_mllm.log import LOGGER
from affect_mllm.types import ConfigError, DataError
from tests.eval.runs import LABELS, answers, corpus, sample, task


@pytest.fixture
def warned(monkeypatch, caplog):
    """The warnings, whether or not a command set the package's logger up before."""
    monkeypatch.setattr(LOGGER, "propagate", True)
    caplog.set_level(logging.WARNING, logger=LOGGER.name)
    return lambda: [record.getMessage() for record in caplog.records]


def test_right_answers_reach_one_and_garbage_zero():
    rows = corpus()
    best = score(task(), rows, answers(rows))
    worst = score(task(), rows, answers(rows, {s.id: "qwertz" for s in rows}))
    assert {m["value"] for m in best["metrics"].values()} == {1.0}
    assert {m["value"] for m in worst["metrics"].values()} == {0.0}
    assert worst["metrics"]["accuracy"]["n_unparsed"] == 12
    assert worst["status"]["out_of_vocabulary"] == 12


def test_known_errors_are_counted_where_they_belong():
    rows = corpus(6)  # happy sad angry happy sad angry
    wrong = {"s00": "sad", "s01": "happy or sad", "s02": ""}
    result = score(task(), rows, answers(rows, wrong))
    assert result["metrics"]["accuracy"]["value"] == 0.5
    assert (result["metrics"]["accuracy"]["n"], result["coverage"]) == (6, 1.0)
    assert result["metrics"]["accuracy"]["n_unparsed"] == 2
    assert result["confusion"]["columns"] == ["happy", "sad", "angry", "unparsed"]
    assert result["confusion"]["matrix"] == [[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 1, 1]]
    assert result["recall"]["sad"] == {"value": 0.5, "n": 2}
    assert {k: v for k, v in result["status"].items() if v} == {"ok": 4, "ambiguous": 1, "empty": 1}
    assert (result["prompt_hash"], result["compat"]) == ("abc", "none")


def test_missing_answers_are_wrong_and_said(warned):
    rows = corpus(4)
    result = score(task(), rows, answers(rows[:3]))
    assert (result["coverage"], result["status"]["missing"]) == (0.75, 1)
    shown = ("value", "n", "n_unparsed", "interval")
    found = [result["metrics"]["accuracy"][key] for key in shown]
    assert found == [0.75, 4, 1, "wilson"]
    assert any("1 samples have no prediction" in text for text in warned())


def test_answers_outside_the_task_are_left_out_and_said(warned):
    rows = [*corpus(3), sample("train1", "sad", split="train")]
    result = score(task(), rows, answers(rows))
    assert (result["n"], result["n_outside"], result["coverage"]) == (3, 1, 1.0)
    assert any("1 predictions are for rows outside" in text for text in warned())


def test_labels_extracted_elsewhere_take_the_place_of_the_answer():
    rows = corpus(1)
    result = score(task(), rows, [Prediction("s00", response="sad", labels=("happy",))])
    assert result["metrics"]["accuracy"]["value"] == 1.0


def test_the_order_of_the_inputs_does_not_matter():
    rows = [replace(s, group=f"g{i % 5}") for i, s in enumerate(corpus(40))]
    said = answers(rows, {"s03": "sad", "s07": "angry", "s11": "?"})
    expected = json.dumps(score(task(), rows, said), sort_keys=True)
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        random.Random(seed + 9).shuffle(said)
        assert json.dumps(score(task(), rows, said), sort_keys=True) == expected


def test_groups_are_counted_and_change_the_interval():
    rows = corpus(40)
    grouped = [replace(s, group=f"g{i // 10}") for i, s in enumerate(rows)]
    said = answers(rows, {f"s{i:02d}": "?" for i in range(13)})
    single, clustered = score(task(), rows, said), score(task(), grouped, said)
    assert (single["n_groups"], clustered["n_groups"]) == (40, 4)
    assert single["metrics"]["accuracy"]["interval"] == "wilson"
    assert clustered["metrics"]["accuracy"]["interval"] == "wilson, effective n"
    low, high = (clustered["metrics"]["accuracy"][key] for key in ("ci_low", "ci_high"))
    one = single["metrics"]["accuracy"]
    assert high - low > one["ci_high"] - one["ci_low"]


def test_conflict_parts_say_which_modality_is_followed():
    rows = [
        sample("a", "sad", labels={"conflict": "video_aligned", "conflict_other": "happy"}),
        sample("b", "sad", labels={"conflict": "video_aligned", "conflict_other": "angry"}),
        sample("c", "sad", labels={"conflict": "consistent"}),
    ]
    said = answers(rows, {"a": "happy", "b": "happy"})
    parts = score(task(breakdowns=("conflict",)), rows, said)["breakdowns"]["conflict"]
    assert list(parts) == ["consistent", "video_aligned"]
    assert parts["video_aligned"]["metrics"]["accuracy"]["value"] == 0.0
    assert parts["video_aligned"]["other_share"]["value"] == 0.5
    assert parts["consistent"]["metrics"]["accuracy"]["value"] == 1.0
    assert "other_share" not in parts["consistent"]


def test_unknown_and_repeated_ids_are_refused_together():
    rows = corpus(2)
    said = [*answers(rows), Prediction("s00", "sad"), Prediction("zz", "sad")]
    with pytest.raises(DataError, match=r"(?s)2 bad rows.*s00.*again.*zz.*not in the manifest"):
        score(task(), rows, said)


def test_answers_to_several_prompts_are_not_one_run():
    rows = corpus(2)
    one, two = answers(rows)
    with pytest.raises(DataError, match="prompt_hash"):
        score(task(), rows, [one, replace(two, prompt_hash="other")])


def test_a_publishers_scorer_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="no published scorer"):
        score(task(), corpus(2), [], compat="official")


def test_scoring_and_reporting_import_no_torch(tmp_path):
    program = """
import sys
from pathlib import Path
from tests.eval.runs import make_run
from affect_mllm.eval.report.page import write_report
root = Path(sys.argv[1])
write_report([make_run(root)], root / "report.html")
print([name for name in ("torch", "transformers") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_answers_that_are_missing_stay_in_the_mean_of_a_judge():
    judged = task(
        kind="description",
        labels=(),
        metrics=("rating",),
        verdicts={"rating": (0, 2)},
        truth="emotion",
    )
    rows = corpus(4)
    said = answers(rows[:3])
    verdicts = {row.id: {"rating": 2.0} for row in said}
    for given in (verdicts, verdicts | {rows[3].id: {"rating": 2.0}}):
        found = score(judged, rows, said, verdicts=Verdicts(given))["metrics"]["rating"]
        assert (found["value"], found["n"]) == (0.75, 4), "no praise for what was not said"
    with pytest.raises(DataError, match="1 of 4 samples have none"):
        score(judged, rows, answers(rows), verdicts=Verdicts(verdicts))


def test_beside_a_mean_over_all_classes_stands_how_many_of_them_occur():
    """Right answers about 3 of 7 classes: no class that is not there can be right."""
    seven = (*LABELS, "surprise", "fear", "disgust", "neutral")
    rows = corpus(6)
    found = score(task(labels=seven), rows, answers(rows))["metrics"]
    assert found["accuracy"]["value"] == found["uar"]["value"] == 1.0
    assert found["macro_f1"]["value"] == pytest.approx(3 / 7, abs=1e-6)
    assert found["macro_f1"]["n_classes"] == 7
    assert found["macro_f1"]["n_classes_occurring"] == 3
    assert not {"n_classes", "n_classes_occurring"} & (
        found["accuracy"].keys() | found["uar"].keys()
    )
