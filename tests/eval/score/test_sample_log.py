"""The log of a scoring: every metric comes out of it again, and what is none is refused."""

from __future__ import annotations

import json

import pytest

from affect_mllm.eval.benchmarks import benchmark_names, load_task
from affect_mllm.eval.score.breakdowns import breakdowns, score_read
from affect_mllm.eval.score.sample_log import read_log, write_log
from affect_mllm.eval.score.scoring import read_answers, truth_hash
from affect_mllm.types import DataError
from tests.contracts.test_benchmarks import files, fixture, verdicts  # noqa: F401
from tests.eval.runs import answers, corpus, task


@pytest.mark.parametrize("name", benchmark_names())
def test_every_number_comes_out_of_it_again(name, files, tmp_path):  # noqa: F811
    one, case = load_task(name), fixture(name)
    rows, said = files(name, case["gold"] | case["case"]["changes"])
    read = read_answers(one, rows, said[1:], verdicts=verdicts(name, "best"))
    write_log(tmp_path / "log.jsonl", one, read)
    again = read_log(tmp_path / "log.jsonl", one)
    assert score_read(one, again) == score_read(one, read)
    assert breakdowns(one, again) == breakdowns(one, read)
    assert (again.right == read.right).all()
    assert truth_hash(again) == truth_hash(read)


def test_a_truth_that_changes_changes_its_hash():
    rows = corpus(4)
    read = read_answers(task(), rows, answers(rows))
    assert truth_hash(read) == truth_hash(read_answers(task(), rows[::-1], []))
    assert truth_hash(read) != truth_hash(read.take([0, 1, 2]))
    other = [*rows[:3], corpus(5)[4]]
    assert truth_hash(read) != truth_hash(read_answers(task(), other, []))


@pytest.mark.parametrize("text", ["{", "[1]", json.dumps({"id": "a"}), "3"])
def test_another_file_is_refused(tmp_path, text):
    (tmp_path / "log.jsonl").write_text(text + "\n")
    with pytest.raises(DataError, match="no log of ours"):
        read_log(tmp_path / "log.jsonl", task())
    with pytest.raises(DataError, match="cannot be read"):
        read_log(tmp_path / "none.jsonl", task())
