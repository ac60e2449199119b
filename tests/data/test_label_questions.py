"""A manifest's labels become questions, and sources without questions get those they can answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affect_mllm import config
from affect_mllm.data import label_file, manifest
from affect_mllm.data.label_questions import OPEN_ABOVE, filled, question
from affect_mllm.data.label_space import Label, described
from affect_mllm.data.mixture import Mixture, Source, check_instructions
from affect_mllm.data.template import Instruction
from affect_mllm.types import ConfigError, DataError, Sample

MOODS = described("classes", [("train", "焦虑"), ("train", "boredom")])
STRESS = Label("number", {"train": 2}, low=0, high=10, decimals=0)


def asked(key: str, label: Label, value: Any) -> tuple[str, str]:
    made: Instruction = config.build(question(key, label), kind=Instruction)
    row = Sample("r", Path(), labels={key: value})
    return made.plain_question(), made.ask(row, np.random.default_rng(0))[1]


@pytest.mark.parametrize(
    ("key", "label", "value", "says", "answer"),
    [
        ("emotion", MOODS, "焦虑", "one of: boredom, 焦虑.", "焦虑"),
        ("inner_mood", MOODS, "boredom", "the person's inner mood? Answer with one of: boredom,",
         "boredom"),
        ("stress", STRESS, 7.0, "stress, from 0 (lowest) to 10 (highest)", "7"),
        ("valence", Label("number", {}, low=-1, high=1), 0.5, "from -1 (very unpleasant)", "0.50"),
        ("dominance", Label("number", {}, low=-1, high=1), 0.5, "dominance, from -1", "0.50"),
        ("signs", described("list", [("train", ["a", "b"])]), ["b"], "of: a, b.", "b"),
        ("reason", Label("text", {}), "why not", "What is the reason?", "why not"),
    ],
)  # fmt: skip
def test_a_label_is_asked_for_by_its_name_classes_and_scale(
    key: str, label: Label, value: Any, says: str, answer: str
) -> None:
    words, written = asked(key, label, value)
    assert says in words
    assert written == answer


def test_a_list_of_many_words_is_open() -> None:
    many = described("list", [("train", [f"w{i}"]) for i in range(OPEN_ABOVE + 1)])
    words, _ = asked("signs", many, ["w1"])
    assert "w1" not in words


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Four training rows: all have a mood, two a stress; one test row has a reason."""
    rows: list[dict[str, Any]] = [
        {"id": f"r{i}", "subtitle": "x", "split": "train", "labels": {"mood": mood}}
        for i, mood in enumerate(("焦虑", "boredom", "焦虑", "boredom"))
    ]
    rows[0]["labels"]["stress"], rows[1]["labels"]["stress"] = 7.0, 2.0
    rows.append({"id": "t", "subtitle": "x", "split": "test", "labels": {"reason": "because"}})
    manifest.write(rows, tmp_path / "m.jsonl")
    reason = Label("text", {"test": 1})
    label_file.write(tmp_path / "m.jsonl", {"mood": MOODS, "stress": STRESS, "reason": reason})
    return tmp_path / "m.jsonl"


def source(path: Path, **more: Any) -> dict[str, Any]:
    return {"manifest": str(path), "split": "train", "instructions": {}, **more}


def test_a_source_gets_every_question_that_its_rows_can_answer(path: Path) -> None:
    data = {"manifest": str(path), "ask_labels": ["all"], "instructions": {}}
    stages = {"instruct": {"sources": {"data": source(path, weight=2.0)}}}
    data, stages = filled(data, stages)
    assert set(data["instructions"]) == {"mood", "stress", "reason"}
    assert data["ask_labels"] == []
    whole, some = stages["instruct"]["sources"].values()
    assert (whole["instructions"], whole["weight"]) == ({"mood": 1.0}, 2.0)
    assert (some["instructions"], some["weight"], some["has"]) == ({"stress": 1.0}, 2.0, ["stress"])
    again = filled(data, stages)
    assert again == (data, stages), "what is filled has nothing left to a manifest"
    sources = {name: Source(**each) for name, each in stages["instruct"]["sources"].items()}
    built = config.build({"instructions": data["instructions"]})["instructions"]
    check_instructions(sources, built)
    mixture = Mixture([*sources.values()], seed=1, places=200)
    drawn = [(draw.instruction, draw.sample.id) for draw in map(mixture.__getitem__, range(200))]
    assert {id for name, id in drawn if name == "stress"} == {"r0", "r1"}
    assert {id for name, id in drawn if name == "mood"} == {"r0", "r1", "r2", "r3"}
    assert 70 < sum(name == "stress" for name, _ in drawn) < 130, "equal shares"
    assert sorted(row.id for row in mixture.samples()) == ["r0", "r1", "r2", "r3"]


def test_what_is_written_stays_and_one_label_can_be_chosen(path: Path) -> None:
    own = {"_target_": "affect_mllm.data.template.Instruction", "questions": ["M?"]}
    own["answer"] = "{mood}"
    data = {"manifest": str(path), "ask_labels": ["stress"], "instructions": {"mood": own}}
    weighted = source(path) | {"instructions": {"mood": 3.0}}
    made, stages = filled(data, {"s": {"sources": {"data": weighted}, "validation": None}})
    assert set(made["instructions"]) == {"stress", "mood"}
    assert made["instructions"]["mood"] == own
    assert stages["s"]["sources"] == {"data": weighted}


def test_held_out_rows_are_asked_the_same_way(path: Path) -> None:
    data = {"manifest": str(path), "ask_labels": ["mood"], "instructions": {}}
    held = {"sources": {"val": source(path)}, "every": 5}
    _, stages = filled(data, {"s": {"sources": {"data": source(path)}, "validation": held}})
    assert stages["s"]["validation"]["sources"]["val"]["instructions"] == {"mood": 1.0}


def test_labels_that_are_not_there_are_named_with_those_that_are(path: Path) -> None:
    data = {"manifest": str(path), "ask_labels": ["moods"], "instructions": {}}
    with pytest.raises(ConfigError, match=r"moods(.|\n)*some of \['mood', 'stress', 'reason'\]"):
        filled(data, {})
    with pytest.raises(ConfigError, match=r"data\.manifest"):
        filled({**data, "manifest": None}, {})
    data = {"manifest": str(path), "ask_labels": ["reason"], "instructions": {}}
    with pytest.raises(ConfigError, match=r"no row of .* has the labels of"):
        filled(data, {"s": {"sources": {"data": source(path)}}})


def test_a_source_of_rows_that_have_a_label_and_one_without_questions(path: Path) -> None:
    with pytest.raises(DataError, match="no row of split test has mood"):
        Source(str(path), "test", {"mood": 1.0}, has=("mood",)).rows()
    with pytest.raises(ConfigError, match="without instructions"):
        Mixture([Source(str(path), "train", {})], seed=1, places=1)
