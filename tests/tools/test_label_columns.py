"""Label columns of a CSV: named, of a kind, on a scale; what is wrong with them is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from affect_mllm.data import label_file, manifest
from affect_mllm.tools.app import main
from affect_mllm.tools.label_columns import Column, columns
from affect_mllm.types import ConfigError

HEAD = "text,mood,stress,valence,signs,reason,split\n"
ROWS = [
    "a,Boredom,3,1,frown; sigh,she looks away from the others and says nothing at all,train",
    "b,焦虑,7,9,sigh,short,train",
    "c,Boredom,10,5,frown,short,train",
    "d,Boredom,0,5,frown,short,train",
    "e,contempt,2,7,frown,short,test",
]
GIVEN = [
    *("--label", "mood", "--label", "stress", "--label", "valence"),
    *("--label", "signs:list", "--label", "reason=why", "--scale", "valence=1:9"),
]


def call(folder: Path, table: str, *words: str) -> int:
    (folder / "t.csv").write_text(table, encoding="utf-8")
    with pytest.raises(SystemExit) as left:
        main(["manifest", "--csv", str(folder / "t.csv"), *words])
    return int(left.value.code or 0)


def test_a_table_of_texts_with_foreign_labels_is_one_command(tmp_path: Path, capsys) -> None:
    assert call(tmp_path, HEAD + "\n".join(ROWS), *GIVEN) == 0
    path = tmp_path / "manifest.jsonl"
    first, second, *_ = manifest.read(path)
    assert first.subtitle == "a"
    assert second.labels == {
        "mood": "焦虑", "stress": 7.0, "valence": 1.0, "signs": ["sigh"], "why": "short",
    }  # fmt: skip
    assert [row.labels["valence"] for row in manifest.read(path)] == [-1.0, 1.0, 0.0, 0.0, 0.5]
    space = label_file.read(path)
    assert {key: label.kind for key, label in space.items()} == {
        "mood": "classes", "stress": "number", "valence": "number", "signs": "list", "why": "text",
    }  # fmt: skip
    assert space["mood"].counts == {
        "boredom": {"train": 3}, "contempt": {"test": 1}, "焦虑": {"train": 1},
    }  # fmt: skip
    assert (space["stress"].scale, space["stress"].decimals) == ((0, 10), 0)
    said = capsys.readouterr().out
    for each in (
        "mood: 3 classes of 5 rows (train, test)",
        "  boredom: 3, 0",
        "warning: no row in train: contempt (nothing to learn it from)",
        "warning: no row in test: boredom, 焦虑 (it is not tested)",
        "warning: imbalanced: boredom has 3 training rows (75%), 焦虑 1",
        "stress: 5 numbers on a scale from 0 to 10 (as they are",
        "valence: 5 numbers on a scale from -1 to 1 (mapped: -1 + (x - 1) / 8 * 2)",
        "why: 5 texts",
    ):
        assert each in said


def test_numbers_of_another_scale_are_not_guessed_at(tmp_path: Path, capsys) -> None:
    assert call(tmp_path, "text,valence\na,5\nb,9\n") == 1
    said = capsys.readouterr().err
    assert "valence reaches from 5 to 9" in said
    assert "--scale valence=LOW:HIGH" in said
    assert not (tmp_path / "manifest.jsonl").exists()
    more = ("--scale", "valence=1:8", "--val-fraction", "0", "--test-fraction", "0")
    assert call(tmp_path, "text,valence\na,5\nb,9\n", *more) == 1
    assert "t.csv:3: [line 3] valence must be on its scale from 1 to 8, got 9" in (
        capsys.readouterr().err
    )


def test_a_column_of_numbers_with_another_word_in_it_is_named(tmp_path: Path, capsys) -> None:
    table = "text,stress,split\na,1,train\nb,NA,train\nc,nan,test\nd,2,test\n"
    assert call(tmp_path, table, "--label", "stress") == 1
    said = capsys.readouterr().err
    assert "t.csv:3: [line 3] stress must be a number, got 'NA'" in said
    assert "stress must be a number, got 'nan'" in said
    assert call(tmp_path, table, "--label", "stress:classes") == 0
    assert label_file.read(tmp_path / "manifest.jsonl")["stress"].classes == (
        "1",
        "2",
        "na",
        "nan",
    )


def test_gaps_and_a_constant_are_said(tmp_path: Path, capsys) -> None:
    assert call(tmp_path, "text,mood,split\na,x,train\nb,,train\n", "--label", "mood") == 0
    assert "rows without it, which are asked for other labels: 1 of 2 in train" in (
        capsys.readouterr().out
    )
    assert call(tmp_path, "text,n,split\na,1,train\nb,1,train\n", "--label", "n") == 1
    assert "--scale n=LOW:HIGH" in capsys.readouterr().err
    table = "text,n,split\na,1,train\nb,1,train\n"
    assert call(tmp_path, table, "--label", "n", "--scale", "n=0:5") == 0


def test_without_label_the_columns_with_a_labels_name_are_taken(tmp_path: Path, capsys) -> None:
    table = "text,emotion,mood,split\na,awe,x,train\nb,calm,y,train\n"
    assert call(tmp_path, table) == 0
    assert "ignored columns: 'mood' (a label? --label NAME)" in capsys.readouterr().out
    assert [*label_file.read(tmp_path / "manifest.jsonl")] == ["emotion"]


@pytest.mark.parametrize(
    ("given", "column"),
    [
        ("Mood", Column("mood", "mood")),
        ("Stress (1-10):number", Column("stress (1-10)", "stress_1_10", "number")),
        ("affect=emotion", Column("affect", "emotion", "classes")),
        ("心情:classes", Column("心情", "心情", "classes")),
        ("a=b=c", Column("a=b", "c")),
    ],
)
def test_a_label_is_named_and_may_say_what_it_is(given: str, column: Column) -> None:
    assert columns([given], [], emotion="emotion") == [column]


@pytest.mark.parametrize(
    ("labels", "scales", "reason"),
    [
        (["=x"], [], "COLUMN"),
        (["a", "b=a"], [], "a twice"),
        (["valence:classes"], [], "number, which valence always is"),
        (["a"], ["b=1:2"], "--scale: b"),
        (["a"], ["a=2:1"], "LABEL=LOW:HIGH"),
        (["a"], ["a=1"], "LABEL=LOW:HIGH"),
        (["a:classes"], ["a=1:2"], "a scale of numbers"),
    ],
)
def test_options_that_mean_nothing_are_refused(labels, scales, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        columns(labels, scales, emotion="emotion")


def test_a_label_that_is_no_column_is_named(tmp_path: Path, capsys) -> None:
    assert call(tmp_path, "text,mood\na,x\n", "--label", "moods") == 1
    assert "no column 'moods'" in capsys.readouterr().err
