"""Rows of a large manifest: parsed on demand, checked once a content, the same as a small one's."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from affect_mllm import types
from affect_mllm.data import manifest, row_scan, rows
from affect_mllm.types import DataError

COUNT = 900


@pytest.fixture(autouse=True)
def _large(monkeypatch, tmp_path_factory) -> None:
    """Every manifest counts as large and has many blocks, which processes check."""
    monkeypatch.setenv("AFFECT_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(rows, "KEPT_FROM_BYTES", 0)
    monkeypatch.setattr(row_scan, "BLOCK_BYTES", 40000)


def row(number: int) -> dict[str, object]:
    split = "train" if number % 3 else "val"
    emotion = ["happy", "sad"][number % 2]
    labels = {"emotion": emotion, "description": f"text {number}"}
    return {"id": f"r{number:04d}", "subtitle": "ä" * (number % 7 + 1), "split": split,
            "labels": labels}  # fmt: skip


def put(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    lines = [json.dumps(row(i), ensure_ascii=False) for i in range(COUNT)]
    return put(tmp_path / "m.jsonl", [*lines[:100], "", *lines[100:]])


def kept() -> list[str]:
    return sorted(each.name for each in (rows.cache_dir() / "manifests").glob("*/*"))


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_large_manifest_reads_like_a_small_one(path, monkeypatch, ending) -> None:
    if ending == "parquet":
        small = manifest.read(path)
        path = path.with_suffix(".parquet")
        manifest.write(small, path)
    large = manifest.read(path, split="val")
    assert kept()
    monkeypatch.setattr(rows, "KEPT_FROM_BYTES", 1 << 40)
    small = manifest.read(path, split="val")
    assert [*large] == [*small]
    assert len(large) == COUNT // 3
    assert large[-1].id == "r0897"
    assert [each.id for each in large[1:5:2]] == ["r0003", "r0009"]
    assert large.lines().tolist() == small.lines().tolist()
    if ending == "jsonl":  # an empty line stands before row 100
        assert large.lines()[-1] == 899
    assert large.values("emotion") == {"happy", "sad"} == small.values("emotion")
    assert large.values("description") is None, "more than are remembered"


def test_another_process_gets_the_places_and_not_the_rows(path) -> None:
    all_rows = manifest.read(path)
    packed = pickle.dumps(all_rows)
    assert len(packed) < 500
    assert pickle.loads(packed) == all_rows


def test_the_same_content_is_checked_once_and_another_again(path, monkeypatch) -> None:
    manifest.read(path)

    def refuse(*_args, **_options):
        raise AssertionError("checked again")

    monkeypatch.setattr(row_scan, "scan_text", refuse)
    assert len(manifest.read(path)) == COUNT
    path.write_text(path.read_text().replace("happy", "calm!"))
    with pytest.raises(AssertionError, match="checked again"):
        manifest.read(path)


def test_other_checks_check_again(path, tmp_path, monkeypatch) -> None:
    """What decides over a row is code, too: the nouns' module tells what a number is."""
    manifest.read(path)
    changed = tmp_path / "types.py"
    changed.write_text(Path(str(types.__file__)).read_text() + "# other\n")
    monkeypatch.setattr(types, "__file__", str(changed))

    def refuse(*_args, **_options):
        raise AssertionError("checked again")

    monkeypatch.setattr(row_scan, "scan_text", refuse)
    with pytest.raises(AssertionError, match="checked again"):
        manifest.read(path)


def test_the_same_bytes_beside_another_folder_are_checked_there(tmp_path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    line = json.dumps({"id": "x", "image": "p.png"})
    (tmp_path / "a/p.png").touch()
    assert len(manifest.read(put(tmp_path / "a/m.jsonl", [line]))) == 1
    with pytest.raises(DataError, match=r"image is missing: p\.png"):
        manifest.read(put(tmp_path / "b/m.jsonl", [line]))


def test_problems_of_all_blocks_come_in_order_and_nothing_is_kept(path) -> None:
    lines = path.read_text().splitlines()
    lines[10] = "{"
    lines[150] = json.dumps({"id": "r0005", "subtitle": "again"})
    lines[290] = json.dumps({"id": "x", "subtitel": "x"})
    put(path, lines)
    found = manifest.problems(path)
    assert [problem.line for problem in found] == [11, 151, 291, 291]
    assert found[1].reason == "duplicate id, first used in line 6"
    assert kept() == []
    _, again = rows.scan(path)
    assert again == found


def test_a_file_that_changes_while_it_is_in_use_is_noticed(path) -> None:
    all_rows = manifest.read(path)
    with path.open("r+b") as file:
        file.write(b"#" * 50)
    with pytest.raises(DataError, match=r"m\.jsonl:1: .* changed while it was in use"):
        all_rows[0]
