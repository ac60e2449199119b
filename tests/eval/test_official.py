"""Publishers' rules beside ours: where they differ, by how much, and what they need."""

from __future__ import annotations

import pytest

from affect_mllm.eval.benchmarks import load_task
from affect_mllm.eval.emotion_wheel.tables import WheelTables
from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.read.verdicts import Verdicts
from affect_mllm.eval.score.scoring import score
from affect_mllm.types import ConfigError, DataError
from tests.eval.runs import sample


def official(name, rows, answers, **options):
    said = [Prediction(s.id, response=a) for s, a in zip(rows, answers, strict=True)]
    return score(load_task(name), rows, said, compat="official", **options)


def lines(result):
    table = result["official"]["table"]
    return {name: (line["ours"], line["official"]) for name, line in table.items()}


def sentiments(*values):
    return [sample(f"s{i}", "-", labels={"sentiment": v}) for i, v in enumerate(values)]


def test_a_neutral_answer_is_negative_to_the_publisher_and_wrong_to_us():
    rows = sentiments(2.0, -1.0, -2.0, 0.0)
    result = official("cmu_mosi", rows, ["positive", "neutral", "negative", "positive"])
    assert result["n"] == 3  # a sentiment of zero does not count for either
    assert lines(result)["accuracy"] == (pytest.approx(2 / 3, abs=1e-6), 1.0)


def test_an_answer_outside_the_list_leaves_dfews_authors_without_a_number():
    rows = [sample("a", "happy"), sample("b", "sad")]
    result = official("dfew", rows, ["happy", "qwertz"])
    assert lines(result) == {"uar": (0.5, None), "war": (0.5, 0.5)}
    assert result["metrics"]["uar"]["ci_low"] is None


def test_folds_are_averaged_by_the_publisher_and_pooled_by_us():
    rows = [sample(f"s{i}", "sad", labels={"fold": fold}) for i, fold in enumerate([1, 1, 1, 2])]
    result = official("dfew", rows, ["sad", "sad", "sad", "happy"])
    assert lines(result)["war"] == (3 / 4, 1 / 2)


def test_empty_answers_are_dropped_by_emobench_m():
    rows = [sample(f"s{i}", "-", split=None, labels={"sentiment": "neutral"}) for i in range(4)]
    result = official("emobench_m_sentiment", rows, ["neutral", "Neutral", "", "It is neutral."])
    assert lines(result)["accuracy"] == (3 / 4, pytest.approx(2 / 3, abs=1e-6))
    assert result["official"]["table"]["accuracy"]["n_official"] == 3


def test_a_class_in_a_sentence_is_found_as_a_substring_by_vecbench():
    rows = [sample("a", "anger", split=None), sample("b", "awe", split=None)]
    answers = ["not awe but anger", "Lawerence of Arabia"]
    assert lines(official("vecbench_fi8", rows, answers))["accuracy"] == (0.5, 0.5)
    assert official("vecbench_fi8", rows, answers)["extraction"] == "first_substring_in_answer"


def tables(**classes):
    def find(label):
        return (classes.get(label, ""),) * 3

    return WheelTables("published", "test", ("form", "synonym", "wheel1_level1"), find)


def test_clips_without_a_place_in_the_publishers_wheel_are_left_out_of_it():
    rows = [sample("a", "neutral"), sample("b", "joy"), sample("c", "anger")]
    result = official("meld", rows, ["[sad]", "[joy]", "[joy]"], tables=tables(joy="j", anger="a"))
    line = result["official"]["table"]["hit_rate"]
    assert (line["ours"], line["official"]) == (pytest.approx(1 / 3, abs=1e-6), 1 / 2)
    assert (line["n_ours"], line["n_official"]) == (3, 2)
    assert result["emotion_wheel"]["tables"] == "published"


def test_what_the_publisher_needs_is_said():
    with pytest.raises(ConfigError, match="--wheel-tables"):
        official("meld", [sample("a", "joy")], ["joy"])
    with pytest.raises(ConfigError, match="no published scorer"):
        official("raf_db", [sample("a", "anger")], ["anger"])


def test_a_judged_benchmark_needs_its_verdicts_and_says_which_are_wrong():
    task = load_task("emer")
    rows = [sample(f"s{i}", "sad", labels={"description": "d"}) for i in range(3)]
    said = [Prediction(s.id, response="She cries.") for s in rows]
    with pytest.raises(DataError, match="3 of 3 samples have none"):
        score(task, rows, said)
    fine = {"clue_overlap": 10, "label_overlap": 1}
    result = score(task, rows, said, verdicts=Verdicts(dict.fromkeys(["s0", "s1", "s2"], fine)))
    values = {name: m["value"] for name, m in result["metrics"].items()}
    assert values == {"clue_overlap": 1.0, "label_overlap": 0.0}
    bad = fine | {"label_overlap": 11}
    with pytest.raises(DataError, match="s1, label_overlap: 11"):
        score(task, rows, said, verdicts=Verdicts({"s0": fine, "s1": bad, "s2": fine}))
