"""What labels a manifest has: found in its rows, or said by the file beside it and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from affect_mllm.data import label_file, label_space, manifest
from affect_mllm.data.label_space import Label, described, kind_of
from affect_mllm.types import DataError


def write(path: Path, *labels: dict[str, Any], split: str = "train") -> Path:
    rows = [{"id": f"r{i}", "subtitle": "x", "split": split} for i in range(len(labels))]
    manifest.write([{**row, "labels": own} for row, own in zip(rows, labels, strict=True)], path)
    return path


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["焦虑", "boredom"], "classes"),
        ([0.5, 3], "number"),
        ([["a"], ["b", "c"]], "list"),
        (["a", "he turns away, and says that he will not come back"], "text"),
        ([f"words {i}" for i in range(101)], "text"),
        (["a", 1.0], None),
        ([True, False], None),
    ],
)
def test_a_kind_is_what_the_values_are(values: list[Any], kind: str | None) -> None:
    assert kind_of(values) == kind


def test_classes_are_counted_by_split_and_sorted() -> None:
    label = described("classes", [("train", "焦虑"), ("test", "boredom"), ("train", "焦虑")])
    assert label.classes == ("boredom", "焦虑")
    assert label.counts == {"boredom": {"test": 1}, "焦虑": {"train": 2}}
    assert label.rows == {"train": 2, "test": 1}


def test_a_word_counts_once_in_a_list() -> None:
    label = described("list", [("train", ["a", "b", "a"]), ("train", ["b"])])
    assert label.counts == {"a": {"train": 1}, "b": {"train": 2}}


@pytest.mark.parametrize(("numbers", "decimals"), [([1, 9], 0), ([1.5, 2], 1), ([0.125, 1], 2)])
def test_a_numbers_scale_is_its_own_or_the_one_that_is_said(numbers, decimals: int) -> None:
    values = [("train", number) for number in numbers]
    label = described("number", values)
    assert (label.scale, label.decimals) == ((min(numbers), max(numbers)), decimals)
    assert described("number", values, scale=(0, 10)).scale == (0, 10)


def test_a_number_that_never_changes_has_no_scale() -> None:
    with pytest.raises(DataError, match="a number that is 3 in all rows"):
        described("number", [("train", 3), ("test", 3)])
    with pytest.raises(ValueError, match="no scale: text"):
        _ = described("text", [("train", "x")]).scale


def test_rows_without_a_file_beside_them_have_the_labels_with_a_meaning(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.jsonl",
        {"emotion": "boredom", "valence": 0.25, "context": ["x"], "sentiment": "pos"},
        {"emotion": "awe", "sentiment": 3.0},
    )
    found = label_file.read(path)
    assert set(found) == {"emotion", "valence"}, "a sentiment of words and numbers is neither"
    assert found["emotion"].classes == ("awe", "boredom")
    assert found["valence"] == Label("number", {"train": 1}, low=-1.0, high=1.0)


def test_rows_without_any_label_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "m.jsonl", {})
    with pytest.raises(DataError, match="no labels"):
        label_file.read(path)


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_the_file_beside_a_manifest_is_read_as_it_was_written(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"m.{ending}", {"mood": "焦虑"}, {"mood": "awe"})
    labels = {
        "mood": described("classes", [("train", "焦虑"), ("train", "awe")]),
        "stress": Label("number", {"train": 2}, low=1, high=9, rule="x / 2"),
    }
    made = label_file.write(path, labels)
    assert made.name == f"m.{ending}.labels.json"
    assert label_file.read(path) == labels


def test_a_manifest_that_changed_is_not_read_by_its_old_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "m.jsonl", {"emotion": "awe"})
    label_file.write(path, {"emotion": described("classes", [("train", "awe")])})
    with path.open("a") as file:
        file.write(json.dumps({"id": "more", "subtitle": "x", "labels": {"emotion": "joy"}}) + "\n")
    with pytest.raises(DataError, match="the manifest was changed since"):
        label_file.read(path)
    label_space.sidecar(path).write_text('{"labels": {"x": {"kind": "colour", "rows": {}}}}')
    with pytest.raises(DataError, match=r"labels\.json: cannot be read"):
        label_file.read(path)
    label_space.sidecar(path).write_text("{}")
    with pytest.raises(DataError, match=r"labels\.json: cannot be read"):
        label_file.read(path)
    write(path, {"emotion": "calm"})
    assert label_file.read(path)["emotion"].classes == ("calm",), "the old file went with its rows"
