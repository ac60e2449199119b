"""Benchmark YAMLs, and which rows of a manifest a task counts."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from affect_mllm import config
from affect_mllm.eval.benchmarks import benchmark_names, load_task, read_task
from affect_mllm.eval.truth import KINDS_OF_KEY
from affect_mllm.types import ConfigError, DataError
from tests.eval.runs import corpus, sample, task

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def conf(tmp_path, monkeypatch):
    (tmp_path / "benchmark").mkdir()
    monkeypatch.setattr(config, "conf_dir", lambda: tmp_path)
    return tmp_path / "benchmark"


@pytest.mark.parametrize("name", benchmark_names())
def test_every_benchmark_yaml_is_a_task_of_its_own_name(name):
    assert read_task(CONF / "benchmark" / f"{name}.yaml").name == name


def test_the_synthetic_conflict_task_asks_the_same_of_other_rows():
    plain, conflict = (read_task(CONF / "benchmark" / f"{name}.yaml")
                       for name in ("synthetic", "synthetic_conflict"))  # fmt: skip
    assert (plain.question, plain.labels) == (conflict.question, conflict.labels)
    assert (conflict.split, conflict.breakdowns) == ("conflict", ("conflict",))
    assert all(label in plain.question for label in plain.labels)
    assert plain.synthetic
    assert conflict.synthetic


def test_an_unknown_benchmark_names_the_known_ones(conf):
    (conf / "mine.yaml").write_text("name: mine\nversion: '1'\nquestion: q\nlabels: [a, b]\n")
    assert benchmark_names() == ["mine"]
    assert load_task("mine").labels == ("a", "b")
    with pytest.raises(ConfigError, match="mine"):
        load_task("yours")


def test_a_benchmark_of_ones_own_is_a_file_or_lies_in_a_named_folder(conf, tmp_path, monkeypatch):
    text = "version: '1'\nquestion: q\nlabels: [a, b]\n"
    (conf / "ours.yaml").write_text("name: ours\n" + text)
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        (folder / f"{folder.name}.yaml").write_text(f"name: {folder.name}\n{text}")
    assert load_task(str(folders[0] / "one.yaml")).name == "one"
    monkeypatch.setenv("AFFECT_BENCHMARKS", os.pathsep.join(map(str, folders)))
    assert [load_task(name).name for name in ("ours", "one", "two")] == ["ours", "one", "two"]
    with pytest.raises(ConfigError, match=r"\['ours', 'one', 'two'\]"):
        load_task("three")
    (folders[1] / "ours.yaml").write_text("name: ours\n" + text)
    with pytest.raises(ConfigError, match=r"two/ours\.yaml has a name that is taken"):
        load_task("one")
    monkeypatch.setenv("AFFECT_BENCHMARKS", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="no such folder"):
        load_task("one")


def test_what_benchmarks_share_is_said_once_and_is_no_benchmark():
    shared = {path.stem: path.read_text() for path in (CONF / "benchmark/common").glob("*.yaml")}
    texts = [path.read_text() for path in (CONF / "benchmark").glob("*.yaml")]
    for name, text in shared.items():
        assert sum(f"common/{name}@_here_" in each for each in texts) > 1
        assert not re.search(r"^(name|version):", text, re.M), "each benchmark has its own"
    assert not shared.keys() & set(benchmark_names())
    assert all(re.search(r"^version:", each, re.M) for each in texts)
    (own,) = [each for each in texts if "\nname: vecbench_fi8" in each]
    assert "official" not in own
    assert load_task("vecbench_fi8").official == load_task("vecbench_fi2").official


def test_a_file_may_start_from_a_benchmark_of_ours_and_from_one_beside_it(tmp_path):
    text = "defaults: [{}, _self_]\nname: {}\nversion: mine\n{}"
    for name, start, more in (
        ("same", "iemocap4_closed", ""),
        ("meld", "meld", "metrics: [hit_rate]\nofficial: {tables: false}"),  # called as ours is
        ("base", "iemocap4_closed", "rename: {frustrated: angry}"),
        ("over_base", "base", "question: Which?"),
    ):
        (tmp_path / f"{name}.yaml").write_text(text.format(start, name, more))
    made = {path.stem: load_task(str(path)) for path in tmp_path.glob("*.yaml")}
    ours = load_task("iemocap4_closed")
    assert replace(made["same"], name=ours.name, version=ours.version) == ours
    assert made["meld"].version == "mine"
    assert made["meld"].metrics == ("hit_rate",), "a list takes the other's place"
    official = load_task("meld").official
    assert official is not None
    assert made["meld"].official == replace(official, tables=False)
    both = {"excited": "happy", "frustrated": "angry"}
    assert made["over_base"].rename == both, "mappings are merged"
    assert (made["over_base"].question, made["over_base"].labels) == ("Which?", ours.labels)


def test_the_documentations_benchmarks_are_read(tmp_path):
    page = (CONF.parent / "docs/evaluation.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S)
    for text in blocks:
        (tmp_path / "one.yaml").write_text(text)
        assert load_task(str(tmp_path / "one.yaml")).version == "1"
    assert len(blocks) > 1


def test_a_start_that_is_not_there_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_text("defaults: [yours, _self_]\nname: mine\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml.*Could not load 'benchmark/yours'"):
        load_task(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metrics: [acuracy]", "acuracy"),
        ("extraction: closed_label_v0", "closed_label_v0"),
        ("labels: [a, A]", "twice"),
        ("labels: []", "at least one"),
        ("synthetic: perhaps", "synthetic"),
        ("kind: open", "kind"),
        ("labels: []\nkind: regression", "low < high"),
        ("metrics: [mae]", "accuracy"),
        ("extraction: number_v2", "closed_label_v4"),
        ("official: {source: x, metrics: {war: mae}}", "official.metrics"),
        ("official: {metrics: {}}", "source"),
        ("kind: multi_label\nmetrics: [set_accuracy]\nlevels: {a: 0, b: 1}", "levels.* regression"),
        ("kind: sentiment\nlow: 0.0", "low.* regression"),
        ("neutral: exclude", "neutral.* sentiment"),
        ("verdicts: {cot: [0, 1]}", "verdicts.* description"),
        ("kind: description\nmetrics: [rouge_l]", "labels.* description"),
        ("kind: open_vocabulary\nmetrics: [hit_rate]", "labels.* open_vocabulary"),
        ("kind: regression\nmetrics: [mae]\nlow: 0\nhigh: 1", "the names of levels"),
        ("breakdowns: [source]", "always are"),
        ("breakdowns: [scene, scene]", "each once"),
        ("metric: [uar]", "unknown keys"),
        ("_target_: os.system", "not a benchmark"),
        ("labels: [a", "YAML"),
    ],
)
def test_a_faulty_yaml_says_what_is_wrong(conf, text, said):
    base = {"name": "mine", "version": "'1'", "question": "q", "labels": "[a, b]"}
    base.pop(text.split(":")[0], None)
    lines = [*(f"{key}: {value}" for key, value in base.items()), text]
    (conf / "mine.yaml").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=said):
        load_task("mine")


def test_rows_are_chosen_by_split_and_labels_and_ordered_by_id():
    rows = [*corpus(4), sample("a", "sad", labels={"scene": "x"}), sample("b", "sad", split="val")]
    assert [s.id for s in task().select(rows[::-1])] == ["a", "s00", "s01", "s02", "s03"]
    assert [s.id for s in task(where={"scene": "x"}).select(rows)] == ["a"]
    assert len(task(split=None).select(rows)) == 6


def test_every_row_without_a_usable_truth_is_named():
    rows = [sample("a", "bored"), sample("b", "sad"), sample("c", "happy", labels={"emotion": 3})]
    with pytest.raises(DataError, match=r"a: 'bored'; c: 3"):
        task().select(rows)


def test_no_row_at_all_is_an_error():
    with pytest.raises(DataError, match="none of 3 rows"):
        task(split="dev").select(corpus(3))


def test_a_breakdown_that_no_row_has_is_an_error_that_names_what_rows_have():
    rows = [sample("a", "sad", labels={"scene": "x"}), sample("b", "sad")]
    assert len(task(breakdowns=("scene",)).select(rows)) == 2
    with pytest.raises(DataError, match=r"labels\.seen(.|\n)*'emotion', 'scene'"):
        task(breakdowns=("seen",)).select(rows)


@pytest.mark.parametrize("name", benchmark_names())
def test_each_key_that_its_kind_does_not_have_is_refused_in_every_benchmark(name):
    """And none that it has: every task can be made again from its own fields."""
    made = load_task(name)
    assert replace(made) == made
    values = {"low": -7.0, "high": 7.0, "levels": {"a": 1.0}, "verdicts": {"cot": (0, 1)}}
    values |= {
        "neutral": "exclude",
        "open_question": "What is it?",
        "rename": {"a": "b"},
        "labels": ("a", "b"),
        "aliases": {"b": "a"},
    }
    assert values.keys() == KINDS_OF_KEY.keys()
    for key, value in values.items():
        if made.kind not in KINDS_OF_KEY[key]:
            with pytest.raises(ConfigError, match=f"{key}, which a task of kind {made.kind}"):
                replace(made, **{key: value})
