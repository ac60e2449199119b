"""Publishers' formats: pickles never run, text is repaired or left, tables are strict."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readers.archives import corpora, read_npz
from readers.jsons import read_json, read_jsonl
from readers.media import index
from readers.tables import read_columns, read_csv, read_xlsx
from readers.texts import repair, string_list

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


# --- text ---


@pytest.mark.parametrize(
    ("found", "meant"),
    [
        ("Iâ€™m", "I’m"),
        ("â€œHi,â€\x9d he said", "“Hi,” he said"),
        ("Youâ€™re at the cafÃ©", "You’re at the café"),
        ("company\x92s \x96 well\x85", "company’s – well…"),
        ("Oh’s “x” … café naïve", "Oh’s “x” … café naïve"),
        ("Ich heiße Ätna; â", "Ich heiße Ätna; â"),
        ("他说“好”", "他说“好”"),
        # Half right, half wrong: no decoding gives this text again, so it stays.
        ("naïve, Iâ€™m", "naïve, Iâ€™m"),
    ],
)
def test_mojibake_is_undone_where_it_round_trips(found: str, meant: str) -> None:
    assert repair(found) == meant


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
@settings(max_examples=200, deadline=None)
def test_what_was_broken_is_repaired_and_a_repair_is_final(text: str) -> None:
    try:
        broken = text.encode("utf-8").decode("cp1252")
    except UnicodeDecodeError:
        return
    if broken != text:
        assert repair(broken) == text
    assert repair(text) == text or not text.isascii()


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("['happy', 'Joyful', 'happy']", ["happy", "joyful"]),
        ("[\"can't wait\", 'eager']", ["can't wait", "eager"]),
        ("['can't wait', 'eager']", ["can't wait", "eager"]),
        ("[happy, looking forward to]", ["happy", "looking forward to"]),
        ("['surprised']", ["surprised"]),
        ("['joy, mixed with fear', 'calm']", ["joy, mixed with fear", "calm"]),
        ("[]", []),
        ("  ", []),
    ],
)
def test_lists_written_as_strings_are_read(text: str, items: list[str]) -> None:
    assert string_list(text, "here") == items


@given(st.lists(st.text(alphabet="abc 'é,-", min_size=1).map(str.strip).filter(bool), max_size=4))
@settings(max_examples=200, deadline=None)
def test_what_python_writes_as_a_list_is_read_back_or_refused(items: list[str]) -> None:
    wanted = list(dict.fromkeys(item.lower() for item in items))
    try:
        read = string_list(repr(items), "here")
    except DataError:
        return
    # An item that holds `', ` is cut as the format itself cannot tell; nothing is ever lost.
    if not any("'," in item or "' ," in item or '"' in item for item in items):
        assert read == wanted


@pytest.mark.parametrize(
    "text", ["['a' 'b']", "[a, b]. And more.", "['a', ]", "['a", "['a', '']", "[a,,b]", "['a' b]"]
)
def test_a_list_that_is_none_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(DataError, match=r"^t\.csv:3: "):
        string_list(text, "t.csv:3")


# --- tables, JSON, folders ---


def test_a_table_knows_the_line_of_each_row(tmp_path: Path) -> None:
    path = kit.write(tmp_path / "t.csv", '\ufeffname,text\na,"two\nlines"\n\nb,x\n')
    rows = read_csv(path, ["name", "text"])
    assert [(row.number, row.cells["text"]) for row in rows] == [(2, "two\nlines"), (5, "x")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,other\na,b\n", r"t\.csv:1: no column 'text'"),
        ("name,text\na\n", r"t\.csv:2: 1 cells for 2 columns"),
        ("name,text\n", "no rows"),
        ("", "no rows"),
    ],
)
def test_a_table_of_another_form_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_csv(kit.write(tmp_path / "t.csv", text), ["name", "text"])


def test_a_table_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = kit.write(tmp_path / "t.csv", "name,text\na,中文\n", encoding="gb18030")
    with pytest.raises(DataError, match="not UTF-8"):
        read_csv(path, ["name"])


def test_cells_are_checked_where_they_are_used(tmp_path: Path) -> None:
    path = kit.write(tmp_path / "t.csv", "a,b,c\n 2.0 ,nan,\n4,x,5\n")
    first, second = read_csv(path, ["a", "b", "c"])
    assert (first.integer("a"), first.optional("b"), first.optional("none")) == (2, "", "")
    with pytest.raises(DataError, match=r"t\.csv:2: an empty cell in column 'c'"):
        first.text("c")
    with pytest.raises(DataError, match=r"t\.csv:3: b 'x'"):
        second.number_of("b")
    with pytest.raises(DataError, match="a number from 0 to 3"):
        second.number_of("a", low=0, high=3)
    with pytest.raises(DataError, match="expected: a number"):
        first.number_of("b")


def test_a_text_table_splits_at_white_space_and_keeps_the_rest(tmp_path: Path) -> None:
    path = kit.write(tmp_path / "t.txt", "a.mp4  anger\n\nb.mp4 two words\n")
    rows = read_columns(path, ["clip", "label"], delimiter=None)
    assert [(row.number, row.cells["label"]) for row in rows] == [(1, "anger"), (3, "two words")]
    with pytest.raises(DataError, match=r"t\.txt:1: 1 cells for 2 columns"):
        read_columns(kit.write(path, "a.mp4\n"), ["clip", "label"], delimiter=None)


def test_a_workbook_is_read_as_values(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["clip", "label"], ["00001.mp4", 3], [None, None], ["00002.mp4", 0.5]):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    rows = read_xlsx(tmp_path / "t.xlsx", ["clip", "label"])
    assert [(row.number, row.cells["label"]) for row in rows] == [(2, "3"), (4, "0.5")]
    with pytest.raises(DataError, match="no column 'emotion'"):
        read_xlsx(tmp_path / "t.xlsx", ["emotion"])
    kit.write(tmp_path / "t.xlsx", "no workbook")
    with pytest.raises(DataError, match="cannot be read as XLSX"):
        read_xlsx(tmp_path / "t.xlsx", ["clip"])


def test_json_is_strict(tmp_path: Path) -> None:
    path = kit.write(tmp_path / "a.json", '{"a": 1, "a": 2}')
    with pytest.raises(DataError, match="key used twice: 'a'"):
        read_json(path, dict)
    with pytest.raises(DataError, match="expected: a list"):
        read_json(kit.write(path, "{}"), list)
    lines = kit.write(tmp_path / "a.jsonl", '{"a": 1}\n\n[2]\n')
    with pytest.raises(DataError, match=r"a\.jsonl:3: a JSON list"):
        list(read_jsonl(lines))


def test_a_folder_is_indexed_without_hidden_files(tmp_path: Path) -> None:
    for name in ("a.mp4", "._a.mp4", "b.MP4", "c.txt"):
        (tmp_path / name).touch()
    assert {name: path.name for name, path in index(tmp_path, [".mp4"]).items()} == {
        "a": "a.mp4",
        "b": "b.MP4",
    }
    assert index(tmp_path / "none", [".mp4"]) == {}
    (tmp_path / "a.avi").touch()
    with pytest.raises(DataError, match=r"two files of one name: a\.avi, a\.mp4"):
        index(tmp_path, [".mp4", ".avi"])
