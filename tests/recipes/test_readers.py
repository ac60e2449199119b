"""Publishers' formats: text is repaired or left, lists and tables are strict."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readers.jsons import read_json, read_jsonl
from readers.media import index
from readers.tables import read_columns, read_csv, read_xlsx
from readers.texts import repair, string_list

from affect_mllm.types import DataError
from tests.recipes import kit


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
@settings(max_examples=200)
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
@settings(max_examples=200)
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
    path = kit.workbook(tmp_path / "t.xlsx", ["00001.mp4", 3], [None, None], ["00002.mp4", 0.5])
    rows = read_xlsx(path, ["clip", "label"])
    assert [(row.number, row.cells["label"]) for row in rows] == [(1, "3"), (3, "0.5")]
    with pytest.raises(DataError, match=r"t\.xlsx:1: 2 cells for 1 columns"):
        read_xlsx(path, ["clip"])
    kit.write(path, "no workbook")
    with pytest.raises(DataError, match="cannot be read as XLSX"):
        read_xlsx(path, ["clip", "label"])


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
