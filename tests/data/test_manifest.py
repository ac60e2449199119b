"""Manifests: what is read is what was written, and every way of being wrong is told apart."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affect_mllm.data import manifest
from affect_mllm.types import DataError, Sample

FULL_ROW = {
    "id": "clip-1",
    "video": "clips/a.mp4",
    "start_s": 0.5,
    "end_s": 2.0,
    "subtitle": "so etwas – wirklich?",
    "language": "de",
    "speaker": "s1",
    "group": "dialogue 4",
    "split": "train",
    "source": "made here",
    "licence": "CC0-1.0",
    "labels": {"arousal": -0.2, "emotion": "happy", "emotions": ["happy"], "intensity": 1.0},
    "messages": [{"role": "user", "content": "<video> Why?"}],
    "face_boxes": [[1.0, 2.0, 30.0, 40.0]],
    "face_times_s": [0.0],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/a.mp4").touch()
    return tmp_path


def put(root: Path, *rows: dict[str, Any] | str) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path = root / "manifest.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_full_row_becomes_a_sample(root: Path) -> None:
    (sample,) = manifest.read(put(root, FULL_ROW))
    assert sample.path("video") == root / "clips/a.mp4"
    assert sample.media == {"video": "clips/a.mp4"}
    assert (sample.start_s, sample.end_s, sample.split) == (0.5, 2.0, "train")
    assert sample.face_boxes == ((1.0, 2.0, 30.0, 40.0),)
    assert sample.messages == ({"role": "user", "content": "<video> Why?"},)
    assert manifest.to_row(sample) == FULL_ROW


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_what_is_written_is_read_back(root: Path, ending: str) -> None:
    rows = [FULL_ROW, {"id": "t", "subtitle": "only words"}]
    path = root / f"m.{ending}"
    manifest.write(rows, path)
    assert [manifest.to_row(sample) for sample in manifest.read(path)] == rows
    assert manifest.problems(path) == []


def test_bytes_do_not_depend_on_the_order_of_keys(root: Path) -> None:
    backwards = dict(reversed(FULL_ROW.items())) | {
        "labels": dict(reversed(FULL_ROW["labels"].items()))
    }
    digests = []
    for name, row in (("a.jsonl", FULL_ROW), ("b.jsonl", backwards)):
        manifest.write([row], root / name)
        digests.append(manifest.digest(root / name))
    manifest.write(manifest.read(root / "a.jsonl"), root / "c.jsonl")
    assert len({*digests, manifest.digest(root / "c.jsonl")}) == 1


def test_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    # The one-block example of FIPS 180-2.
    assert manifest.digest(tmp_path / "x") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_a_failed_write_leaves_the_old_file_and_nothing_else(root: Path) -> None:
    path = put(root, FULL_ROW)
    before = path.read_bytes()
    with pytest.raises(DataError, match="did you mean subtitle"):
        manifest.write([{"id": "a", "subtitel": "x"}], path)
    with pytest.raises(TypeError):
        manifest.write([{"id": "a", "subtitle": "x", "labels": {"other": object()}}], path)
    assert path.read_bytes() == before
    assert sorted(each.name for each in root.iterdir()) == ["clips", "manifest.jsonl"]


def test_split_is_a_filter_and_an_unknown_one_an_error(root: Path) -> None:
    path = put(
        root,
        {"id": "a", "subtitle": "x", "split": "train"},
        {"id": "b", "subtitle": "y", "split": "test"},
    )
    assert [sample.id for sample in manifest.read(path, split="test")] == ["b"]
    with pytest.raises(DataError, match=r"no row of split 'tests'\n.*'test', 'train'"):
        manifest.read(path, split="tests")


BAD_ROWS = {
    "{not json": "not JSON: ",
    "[1, 2]": "a row must be a JSON object, got list",
    '{"id": "a", "subtitle": "x", "end_s": NaN}': "NaN is not a JSON number",
    '{"id": "a", "id": "b", "subtitle": "x"}': "key used twice: id",
    '{"subtitle": "x"}': "id must be a non-empty string, got None",
    '{"id": 3, "subtitle": "x"}': "id must be a non-empty string, got 3",
    '{"id": "a", "vidoe": "x", "subtitle": "x"}': r"unknown key vidoe \(did you mean video\?\)",
    '{"id": "a", "zzz": 1, "subtitle": "x"}': "unknown key zzz\n",
    '{"id": "a", "subtitle": 5, "video": "clips/a.mp4"}': "subtitle must be a string, got 5",
    '{"id": "a", "subtitle": null, "video": "clips/a.mp4"}': "subtitle must be a string, got None",
    '{"id": "a"}': "no modality",
    '{"id": "a", "labels_only": false}': "labels_only must be true or absent, got False",
    '{"id": "a", "labels_only": true, "video": "clips/a.mp4"}': "labels_only, but video is named",
    '{"id": "a", "subtitle": "  "}': "no modality",
    '{"id": "a", "video": "/etc/hostname"}': "absolute path",
    '{"id": "a", "video": "../a.mp4"}': "leaves the manifest's folder",
    '{"id": "a", "video": "clips/../../a.mp4"}': "leaves the manifest's folder",
    '{"id": "a", "video": "clips/b.mp4"}': "video is missing: clips/b.mp4",
    '{"id": "a", "video": "clips"}': "must be a file, got a folder",
    '{"id": "a", "video": "clips/\\u0000"}': "video is missing",
    '{"id": "a", "video": ["clips/a.mp4"]}': "video must be a path",
    '{"id": "a", "frames": ".."}': "leaves the manifest's folder",
    '{"id": "a", "subtitle": "x", "start_s": 2, "end_s": 2}': "start_s must be before end_s",
    '{"id": "a", "subtitle": "x", "end_s": 0}': "start_s must be before end_s",
    '{"id": "a", "subtitle": "x", "start_s": -1}': "start_s must not be negative",
    '{"id": "a", "subtitle": "x", "start_s": "2"}': "start_s must be a number of seconds, got '2'",
    '{"id": "a", "subtitle": "x", "start_s": true}': "start_s must be a number of seconds",
    '{"id": "a", "subtitle": "x", "labels": []}': "labels must be an object",
    '{"id": "a", "subtitle": "x", "labels": {"valence": -1.1}}': "valence must be a number from -1",
    '{"id": "a", "subtitle": "x", "labels": {"intensity": -0.1}}': "intensity must be a number",
    '{"id": "a", "subtitle": "x", "labels": {"emotion": ["x"]}}': "emotion must be a non-empty",
    '{"id": "a", "subtitle": "x", "labels": {"emotions": "x"}}': "emotions must be a list",
    '{"id": "a", "subtitle": "x", "labels": {"conflict": "x"}}': "conflict must be one of",
    '{"id": "a", "subtitle": "x", "labels": {"emotoin": "x"}}': "did you mean labels.emotion",
    '{"id": "a", "subtitle": "x", "messages": []}': "messages must be a non-empty list",
    '{"id": "a", "messages": [{"role": "user"}]}': r"messages\[0\] must have the keys",
    '{"id": "a", "messages": [{"role": "me", "content": "x"}]}': "must have a role of",
    '{"id": "a", "messages": [{"role": "user", "content": "<audio>"}]}': "uses <audio>, which",
    '{"id": "a", "subtitle": "x", "face_boxes": [[0, 0, 1, 1]]}': "must both be there",
    '{"id": "a", "subtitle": "x", "face_boxes": [[0, 0, 1, 1]], "face_times_s": [0, 1]}': (
        "1 face_boxes but 2 face_times_s"
    ),
    '{"id": "a", "subtitle": "x", "face_boxes": [[0, 0, 1]], "face_times_s": [0]}': "width, height",
    '{"id": "a", "subtitle": "x", "face_boxes": [[0, 0, 0, 1]], "face_times_s": [0]}': "positive",
    '{"id": "a", "subtitle": "x", "face_boxes": [[0, 0, 1, 1], [0, 0, 1, 1]],'
    ' "face_times_s": [1, 0]}': "must increase",
}


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS.items())
def test_each_bad_row_has_one_problem_with_its_line(root: Path, row: str, reason: str) -> None:
    path = put(root, {"id": "good", "subtitle": "fine"}, row)
    (problem,) = manifest.problems(path)
    assert problem.line == 2
    with pytest.raises(DataError, match=reason) as caught:
        manifest.read(path)
    assert f"{path}:2: " in str(caught.value)


def test_other_labels_are_welcome(root: Path) -> None:
    row = {"id": "a", "subtitle": "x", "labels": {"sarcasm": True, "visual_cues": "A raised brow."}}
    assert manifest.read(put(root, row))[0].labels == row["labels"]


def test_a_duplicate_names_the_first_line(root: Path) -> None:
    row = {"id": "a", "subtitle": "x"}
    path = put(root, row, {"id": "b", "subtitle": "x"}, "", row)
    assert manifest.problems(path) == [
        manifest.Problem(4, "a", "duplicate id, first used in line 1")
    ]


@pytest.mark.parametrize("where", ["clips/link.mp4", "clips/folder/a.mp4"])
def test_a_symlink_out_of_the_root_is_refused(root: Path, where: str) -> None:
    outside = root.parent / f"{root.name}-outside"
    outside.mkdir()
    (outside / "a.mp4").touch()
    os.symlink(outside / "a.mp4", root / "clips/link.mp4")
    os.symlink(outside, root / "clips/folder")
    (problem,) = manifest.problems(put(root, {"id": "a", "video": where}))
    assert "leaves the manifest's folder" in problem.reason


def test_a_symlink_within_the_root_and_a_linked_root_are_fine(root: Path, tmp_path: Path) -> None:
    os.symlink(root / "clips/a.mp4", root / "clips/same.mp4")
    put(root, {"id": "a", "video": "clips/same.mp4"})
    os.symlink(root, tmp_path / "alias")
    assert manifest.problems(tmp_path / "alias" / "manifest.jsonl") == []


def test_all_problems_come_at_once_and_the_list_is_capped(root: Path) -> None:
    path = put(root, *({"id": f"c{at}", "video": f"{at}.mp4"} for at in range(25)))
    assert len(manifest.problems(path)) == 25
    with pytest.raises(DataError) as caught:
        manifest.read(path)
    message = str(caught.value)
    assert message.count("is missing") == manifest.PROBLEMS_SHOWN == 20
    assert "25 problems" in message
    assert "and 5 more" in message


def test_a_bad_row_of_another_split_counts_too(root: Path) -> None:
    path = put(root, {"id": "a", "subtitle": "x", "split": "test"}, {"id": "b", "split": "train"})
    with pytest.raises(DataError, match=r":2: .*no modality"):
        manifest.read(path, split="test")


def test_bytes_that_are_not_text_are_a_problem_of_their_line(root: Path) -> None:
    path = put(root, {"id": "a", "subtitle": "x"})
    path.write_bytes(path.read_bytes() + b'{"id": "\xff"}\n')
    assert manifest.problems(path) == [manifest.Problem(2, "", "not UTF-8 at byte 9")]


def test_files_that_are_no_manifest(root: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        manifest.read(root / "none.jsonl")
    with pytest.raises(DataError, match="Is a directory"):
        manifest.read(_folder(root / "folder.jsonl"))
    with pytest.raises(DataError, match=r"ending in '.csv'"):
        manifest.read(root / "x.csv")
    (root / "x.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        manifest.read(root / "x.parquet")
    (root / "empty.jsonl").touch()
    with pytest.raises(DataError, match="has no rows"):
        manifest.read(root / "empty.jsonl")


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_labels_outside_the_task_are_listed_with_lines(root: Path) -> None:
    rows = [
        {"id": "a", "subtitle": "x", "labels": {"emotion": "happy"}},
        {"id": "b", "subtitle": "x", "labels": {"emotion": "hapy"}},
        {"id": "c", "subtitle": "x", "labels": {"emotions": ["happy", "tired"]}},
        {"id": "d", "subtitle": "x"},
    ]
    path = put(root, *rows)
    samples = manifest.read(path)
    with pytest.raises(DataError, match=r"(?s)1 problem.*:2: \[b\] .*'hapy'.*happy, sad"):
        manifest.check_labels(samples, "emotion", allowed=["sad", "happy"])
    with pytest.raises(DataError, match=r":3: \[c\] labels.emotions .*: 'tired'"):
        manifest.check_labels(samples, "emotions", allowed=["sad", "happy"])
    manifest.check_labels(samples, "emotion", allowed=["happy", "hapy"])


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
optional_texts = st.none() | texts


@given(
    ids=st.lists(texts, min_size=1, max_size=5, unique=True),
    subtitle=texts,
    speaker=optional_texts,
    valence=st.floats(-1, 1),
)
def test_any_text_survives_the_file(
    tmp_path_factory: pytest.TempPathFactory,
    ids: list[str],
    subtitle: str,
    speaker: str | None,
    valence: float,
) -> None:
    root = tmp_path_factory.mktemp("round")
    samples = [
        Sample(id=each, root=root, subtitle=subtitle, speaker=speaker, labels={"valence": valence})
        for each in ids
    ]
    manifest.write(samples, root / "m.jsonl")
    assert manifest.read(root / "m.jsonl") == samples
