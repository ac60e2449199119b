"""What all recipes share: counts, labels, paths and duplicates, each with the publisher's line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commandline import ADVICE, Folder, Plan, app, command
from recipe import Dataset, Entry, Inputs, check_counts, make
from typer.testing import CliRunner

from affect_mllm.data import manifest
from affect_mllm.types import ConfigError, DataError

DATASET = Dataset(
    name="toy",
    title="a toy",
    licence="toy licence",
    access="nowhere",
    source="its paper",
    counts={"train": 2, "test": 1},
    labels={"emotion": ("happy", "sad")},
    classes={"emotion": {"happy": 2, "sad": 1}},
)
ROWS: list[dict[str, Any]] = [
    {"id": "a", "subtitle": "x", "split": "train", "labels": {"emotion": "happy"}},
    {"id": "b", "subtitle": "y", "split": "train", "labels": {"emotion": "sad"}},
    {"id": "c", "subtitle": "z", "split": "test", "labels": {"emotion": "happy"}},
]


def of(*rows: dict[str, Any]):
    def read(inputs: Inputs) -> Iterator[Entry]:
        for line, row in enumerate(rows, start=2):
            yield Entry(dict(row), inputs.folder / "labels.csv", line)

    return read


def make_in(folder: Path, *rows: dict[str, Any], subset: bool = False) -> list[dict[str, Any]]:
    return make(DATASET, of(*rows), Inputs(folder, folder, subset), folder / "m.jsonl")


def test_published_counts_that_are_met_write_the_manifest(tmp_path: Path) -> None:
    make_in(tmp_path, *ROWS)
    rows = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["a", "b", "c"]
    assert {(row["source"], row["licence"]) for row in rows} == {("toy", "toy licence")}


def test_every_count_that_differs_is_named_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        make_in(tmp_path, ROWS[0], {**ROWS[1], "split": "dev"})
    message = str(caught.value)
    assert "train: found 1, published 2" in message
    assert "test: found 0, published 1" in message
    assert "emotion happy: found 1, published 2" in message
    assert "dev: found 1, not a published split" in message
    assert "emotion sad" not in message
    assert not (tmp_path / "m.jsonl").exists()
    assert len(make_in(tmp_path, *ROWS[:2], subset=True)) == 2


def test_a_published_total_is_checked_by_itself() -> None:
    total = replace(DATASET, counts={"total": 3}, classes={})
    check_counts(total, ROWS)
    with pytest.raises(DataError, match="total: found 2, published 3"):
        check_counts(total, ROWS[:2])


def test_labels_outside_the_space_are_listed_with_their_lines(tmp_path: Path) -> None:
    bad = [{**ROWS[at], "labels": {"emotion": word}} for at, word in ((1, "Sad"), (2, "fear"))]
    with pytest.raises(DataError) as caught:
        make_in(tmp_path, ROWS[0], *bad)
    message = str(caught.value)
    assert f"{tmp_path}/labels.csv:3: [b] emotion 'Sad' is none of happy, sad" in message
    assert f"{tmp_path}/labels.csv:4: [c] emotion 'fear' is none of happy, sad" in message


def test_an_id_used_twice_names_both_lines(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels\.csv:3: \[a\] the id is used before in .*:2"):
        make_in(tmp_path, ROWS[0], {**ROWS[1], "id": "a"})


def test_what_a_manifest_would_refuse_is_refused_by_the_publishers_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels\.csv:2: \[a\] start_s must be before end_s"):
        make_in(tmp_path, {**ROWS[0], "start_s": 3, "end_s": 1})
    with pytest.raises(DataError, match=r"\[a\] no modality"):
        make_in(tmp_path, {**ROWS[0], "subtitle": ""})


def test_twenty_problems_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    many = [{**ROWS[0], "id": f"r{at}", "labels": {"emotion": "?"}} for at in range(25)]
    with pytest.raises(DataError, match="25 problems") as caught:
        make_in(tmp_path, *many)
    assert "and 5 more" in str(caught.value)
    assert str(caught.value).count("is none of") == 20


def test_media_are_relative_to_the_manifest(tmp_path: Path) -> None:
    media = tmp_path / "set" / "clips"
    media.mkdir(parents=True)
    (media / "a.mp4").touch()
    row = {**ROWS[0], "video": media / "a.mp4"}
    inputs = Inputs(tmp_path / "set", tmp_path / "set", subset=True)
    for out, path in (("m.jsonl", "set/clips/a.mp4"), ("set/m.jsonl", "clips/a.mp4")):
        (made,) = make(DATASET, of(row), inputs, tmp_path / out)
        assert made["video"] == path
    away = tmp_path / "elsewhere" / "m.jsonl"
    (made,) = make(DATASET, of(row), inputs, away)
    assert made["video"] == "clips/a.mp4"
    (read,) = manifest.read(away)
    assert read.path("video").samefile(media / "a.mp4")
    (tmp_path / "b.mp4").touch()
    with pytest.raises(ConfigError, match="does not lie below"):
        make(DATASET, of({**row, "video": tmp_path / "b.mp4"}), inputs, away)


def test_media_behind_a_link_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "outside.mp4").touch()
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.mp4").symlink_to(tmp_path / "outside.mp4")
    row = {**ROWS[0], "video": tmp_path / "set/a.mp4"}
    with pytest.raises(DataError, match="leaves the manifest's folder"):
        make_in(tmp_path / "set", row, subset=True)


def test_the_manifest_lies_beside_the_media_unless_told_otherwise(tmp_path: Path) -> None:
    folders = [tmp_path / "labels", tmp_path / "media"]
    for folder in folders:
        folder.mkdir()

    def plan(folder: Folder, variant: str = "") -> Plan:
        return Plan(DATASET, of(*ROWS), variant)

    args = [str(folders[0]), "--media-root", str(folders[1])]
    for more in ([], ["--variant", "fold1"], ["--out", str(tmp_path / "x.jsonl")]):
        assert CliRunner().invoke(command(plan), [*args, *more]).exit_code == 0
    assert sorted(path.name for path in tmp_path.rglob("*.jsonl")) == [
        "manifest-fold1.jsonl",
        "manifest.jsonl",
        "x.jsonl",
    ]
    assert (folders[1] / "manifest.jsonl").is_file()


def test_terms_come_first_and_errors_leave_with_their_code(tmp_path: Path) -> None:
    left = CliRunner().invoke(app(DATASET, of(*ROWS[:1])), [str(tmp_path)])
    assert left.exit_code == 1
    *terms, privacy = left.stdout.splitlines()
    assert terms == [
        "title    a toy",
        "licence  toy licence",
        "access   nowhere",
        "source   its paper",
    ]
    assert privacy.endswith("docs/privacy.md")
    assert left.stderr.startswith("toy: train: found 1, published 2")
    left = CliRunner().invoke(app(DATASET, of(*ROWS)), [str(tmp_path / "none")])
    assert left.exit_code == 2


def test_a_test_split_in_which_all_are_neutral_has_no_emotions(tmp_path: Path) -> None:
    """MERTools' preprocessing writes neutral where a challenge's labels were secret."""
    words = Dataset(**{**DATASET.__dict__, "labels": {"emotion": ("neutral", "sad")}})
    secret = [
        {**ROWS[0], "id": f"s{at}", "split": "test1", "labels": {"emotion": "neutral"}}
        for at in range(12)
    ]
    known = [{**row, "id": f"k{row['id']}", "split": "test2"} for row in secret]
    known.append({**ROWS[0], "split": "test2", "labels": {"emotion": "sad"}})
    inputs = Inputs(tmp_path, tmp_path, subset=True)
    rows = make(words, of(*secret, *known), inputs, tmp_path / "m.jsonl")
    assert [row["id"] for row in rows if "labels" not in row] == [row["id"] for row in secret]
    (note,) = inputs.notes
    assert note.startswith("test1: all 12 labels are neutral")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DataError("a.csv:2", "an empty cell"), ADVICE),
        (DataError("a.csv:2", "no folder", fix="give it"), "to mend it: give it"),
        (DataError("a.csv:2", "label 9", expected="1 to 7"), "expected: 1 to 7"),
    ],
)
def test_an_error_that_knows_no_way_out_is_given_the_publishers(
    tmp_path: Path, error: DataError, said: str
) -> None:
    def broken(inputs: Inputs) -> Iterator[Entry]:
        raise error

    ran = CliRunner().invoke(app(DATASET, broken), [str(tmp_path)])
    assert ran.exit_code == 1
    assert said in ran.stderr
    assert (ADVICE in ran.stderr) == (said == ADVICE)
    assert not [*tmp_path.iterdir()]
