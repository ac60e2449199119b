"""Label archives: what they hold is read, and nothing that they name is ever run."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from readers.archives import corpora, read_npz

from affect_mllm.types import DataError
from tests.recipes import kit

LABELS = {
    "a": {"emo": "happy", "val": 1.5},
    "b": {"emo": np.str_("sad"), "val": np.float64(-2.25)},
    "c": {"emo": np.int64(3), "val": np.float32(0.5), "bytes": np.bytes_(b"\xff"), "all": {1, 2}},
}


class Bomb:
    """Pickles to a call: what loading it runs is the command."""

    def __init__(self, function: object, *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_label_archives_of_every_protocol_are_read(protocol: int, tmp_path: Path) -> None:
    path = npz(tmp_path, np.array(LABELS, dtype=object), protocol)
    assert read_npz(path) == {"train_corpus": LABELS}
    assert corpora(path) == {"train": LABELS}


def test_an_archive_of_numpy_itself_is_read(tmp_path: Path) -> None:
    path = kit.corpora(tmp_path / "label.npz", {"train": LABELS, "test1": {}})
    assert corpora(path) == {"train": LABELS, "test1": {}}
    with np.load(path, allow_pickle=True) as oracle:
        assert read_npz(path)["train_corpus"] == oracle["train_corpus"].item()


def test_numbers_and_lists_of_objects_are_read(tmp_path: Path) -> None:
    numbers, words = np.arange(6.0).reshape(2, 3), np.array(["x", None, 3], dtype=object)
    np.savez(tmp_path / "a.npz", numbers=numbers, words=words)
    read = read_npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(read["numbers"], numbers)
    assert read["words"].tolist() == ["x", None, 3]


def test_names_that_older_numpy_wrote_are_known(tmp_path: Path) -> None:
    path = npz(tmp_path, np.array(LABELS, dtype=object), 3, old=True)
    assert read_npz(path)["train_corpus"] == LABELS


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize(
    ("function", "argument"),
    [
        (os.system, "touch {mark}"),
        (eval, "open('{mark}', 'w')"),
        (open, "{mark}"),
        (pickle.loads, b"cos\nsystem\n(S'touch {mark}'\ntR."),
        (np.load, "{mark}"),
        (np.lib.format.open_memmap, "{mark}"),
        (OrderedDict, "{mark}"),
        (getattr, "{mark}"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_pickle_that_names_anything_else_is_refused_and_nothing_runs(
    function, argument, protocol: int, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    text = argument if isinstance(argument, bytes) else argument.replace("{mark}", str(mark))
    if isinstance(text, bytes):
        text = text.replace(b"{mark}", str(mark).encode())
    labels = {"a": {"emo": Bomb(function, text)}}
    path = npz(tmp_path, np.array(labels, dtype=object), protocol)
    with pytest.raises(DataError, match=r"train_corpus\.npy: refused: it names .*\n"):
        read_npz(path)
    assert not mark.exists()


def test_a_bomb_in_the_place_of_the_array_is_refused(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    path = npz(tmp_path, Bomb(os.mkdir, str(mark)), 4)
    with pytest.raises(DataError, match=r"it names posix\.mkdir"):
        read_npz(path)
    assert not mark.exists()


def test_a_global_named_through_an_attribute_is_refused(tmp_path: Path) -> None:
    # Protocol 4 may name "numpy" and "ndarray.tofile": one global with a dot in its name.
    data = pickle.PROTO + b"\x04" + b"\x8c\x05numpy\x8c\x0endarray.tofile\x93."
    path = npz(tmp_path, data, 4)
    with pytest.raises(DataError, match=r"it names numpy\.ndarray\.tofile"):
        read_npz(path)


@pytest.mark.parametrize("cut", [1, 40, -1])
def test_a_damaged_archive_is_an_error_of_the_file(cut: int, tmp_path: Path) -> None:
    path = npz(tmp_path, np.array(LABELS, dtype=object), 3)
    with zipfile.ZipFile(path) as archive:
        data = archive.read("train_corpus.npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train_corpus.npy", data[: 128 + cut] if cut > 0 else data[:cut])
    with pytest.raises(DataError, match=r"train_corpus\.npy"):
        read_npz(path)
    path.write_bytes(b"PK no archive")
    with pytest.raises(DataError, match="not an npz"):
        read_npz(path)


@pytest.mark.parametrize("content", [[1], {"a": 3}, {"a": {"val": 1}}, {4: {"emo": "x"}}])
def test_an_archive_of_something_else_is_no_label_archive(content: object, tmp_path: Path) -> None:
    array = np.empty((), dtype=object)
    array[()] = content
    with pytest.raises(DataError, match="not a label corpus"):
        corpora(npz(tmp_path, array, 4))


def npz(tmp_path: Path, content: object, protocol: int, *, old: bool = False) -> Path:
    """An npz with one object array; its pickle is `content`'s, or `content` itself if bytes."""
    data = content if isinstance(content, bytes) else pickle.dumps(content, protocol)
    if old:
        assert b"numpy._core" in data
        data = data.replace(b"numpy._core", b"numpy.core")
    file = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": getattr(content, "shape", ())}
    np.lib.format.write_array_header_1_0(file, header)
    path = tmp_path / "label.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train_corpus.npy", file.getvalue() + data)
    return path
