"""What macOS and Windows leave in folders is no picture, no states and no content."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from affect_mllm.data.reader import Reader
from affect_mllm.data.states import read_states
from affect_mllm.media.content import ContentIndex, content_hash, size_of
from affect_mllm.media.folder import entries, is_litter
from affect_mllm.tools.validation import validate
from affect_mllm.types import Sample

APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        "


def litter(folder: Path) -> None:
    doubles = [f"._{path.name}" for path in entries(folder)]
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", *doubles):
        (folder / name).write_bytes(APPLE_DOUBLE)
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX/._x.png").write_bytes(APPLE_DOUBLE)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A folder of pictures and states, and one with the same files and litter."""
    clean, full = tmp_path / "clean", tmp_path / "full"
    clean.mkdir()
    for at in range(3):
        Image.new("RGB", (8, 8), (80 * at, 0, 0)).save(clean / f"{at}.png")
    np.save(clean / "audio.npy", np.ones((2, 3), np.float32))
    shutil.copytree(clean, full)
    litter(full)
    return clean, full


def test_names() -> None:
    assert all(map(is_litter, ("._0001.jpg", ".DS_Store", "Thumbs.db", "__MACOSX", "Icon\r")))
    assert not any(map(is_litter, ("0001.jpg", "_1.png", "thumbs.jpg", "a.b.npy")))


def test_the_same_is_seen_and_read(folders) -> None:
    images = [
        Reader(visual="frame")
        .read(Sample("a", folder.parent, {"frames": folder.name}), {"frame": lambda x: x})
        .arrays["frame"]
        for folder in folders
    ]
    np.testing.assert_array_equal(images[0], images[1])
    assert [*read_states(folders[1], None)] == ["audio"]


def test_the_content_is_the_same(folders, tmp_path) -> None:
    clean, full = folders
    assert content_hash(clean) == content_hash(full)
    assert size_of(clean) == size_of(full)
    index = ContentIndex(tmp_path / "contents.sqlite")
    assert index.of(clean) == index.of(full)


def test_validate_reads_the_folder_that_macos_packed(tmp_path) -> None:
    if "AFFECT_REFERENCE_DIR" not in os.environ:
        pytest.skip("AFFECT_REFERENCE_DIR is not set")
    case = Path(os.environ["AFFECT_REFERENCE_DIR"]) / "cases/16-appledouble-in-frames"
    assert [*case.glob("f1/._*")]
    (found,) = validate(case / "m.jsonl", decode=True, workers=1)
    assert found.problems == ()


def test_recipes_pass_over_the_same(folders, monkeypatch) -> None:
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "data_recipes"), *sys.path])
    media = importlib.import_module("readers.media")
    clean, full = (media.spread(folder, (".png", ".db", ".ini")) for folder in folders)
    assert [*clean] == [*full] == ["0", "1", "2"]
