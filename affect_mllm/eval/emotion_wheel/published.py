"""Reads published emotion-wheel tables (the forms of 2025 and 2026) from a user's directory.

The files are those of zeroQiaoba/AffectGPT (`emotion_wheel/`, commit fffca79) and of
zeroQiaoba/MERTools (MER2026 track 2, commit 89120b7): `format.csv` (columns name, format: a base
word and its comma-separated surface forms), `synonym.xlsx` (pairs of columns word_runK,
synonym_runK: a wheel's word and its comma-separated synonyms, of several runs) and `wheelN.xlsx`
(columns level1, level2, level3; an empty cell repeats the one above). None of them is part of this
project. What they mean, faults included:

form      the alphabetically first base word of a surface form
synonym   of that base word, the alphabetically first wheel word
wheels    of all base words' wheel words in alphabetical order, the first that the wheel has
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from affect_mllm.eval.emotion_wheel.tables import Classes, WheelTables, levels
from affect_mllm.types import DataError

_FIX = "give the publisher's emotion_wheel folder: format.csv, synonym.xlsx, wheel1.xlsx …"


def read_tables(folder: Path) -> WheelTables:
    """The tables of `folder`; DataError names a file that is missing or has another form."""
    folder = Path(folder)
    forms = _forms(folder / "format.csv")
    synonyms = _synonyms(folder / "synonym.xlsx")
    paths = sorted(folder.glob("wheel*.xlsx"), key=_number)
    if not paths:
        raise DataError(str(folder), "no wheel1.xlsx", fix=_FIX)
    wheels = [(f"wheel{_number(path)}", levels(_wheel(path))) for path in paths]
    names = [f"{name}_level{level}" for name, _ in wheels for level in (1, 2)]
    maps = [each for _, both in wheels for each in both]

    def find(label: str) -> Classes:
        bases = sorted(forms.get(_word(label), ()))
        if not bases:
            return ("",) * (2 + len(maps))
        words = sorted({word for base in bases for word in synonyms.get(base, ())})
        return (
            bases[0],
            min(synonyms.get(bases[0], ()), default=""),
            *(next((one[word] for word in words if word in one), "") for one in maps),
        )

    return WheelTables(folder.name, "published", ("form", "synonym", *names), find)


def _forms(path: Path) -> dict[str, set[str]]:
    """Surface form → base words."""
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(str(path), f"cannot be read: {error}", fix=_FIX) from error
    if not rows or not {"name", "format"} <= rows[0].keys():
        raise DataError(str(path), "no columns name and format", fix=_FIX)
    found: dict[str, set[str]] = {}
    for row in rows:
        for form in _words(row["format"]):
            found.setdefault(form, set()).add(_word(row["name"]))
    return found


def _synonyms(path: Path) -> dict[str, set[str]]:
    """Base word → words of the wheels."""
    rows = _sheet(path)
    head = [str(cell) for cell in next(rows, ())]
    pairs = [
        (head.index(name), head.index(name.replace("word", "synonym", 1)))
        for name in head
        if name.startswith("word") and name.replace("word", "synonym", 1) in head
    ]
    if not pairs:
        raise DataError(str(path), f"columns {head}", expected="word_run1, synonym_run1 …")
    found: dict[str, set[str]] = {}
    for row in rows:
        for at, other in pairs:
            if row[at] is not None:
                for word in (_word(row[at]), *_words(row[other])):
                    found.setdefault(word, set()).add(_word(row[at]))
    return found


def _wheel(path: Path) -> dict[str, dict[str, tuple[str, ...]]]:
    rows = _sheet(path)
    head = [str(cell) for cell in next(rows, ())]
    if head[:3] != ["level1", "level2", "level3"]:
        raise DataError(str(path), f"columns {head}", expected="level1, level2, level3")
    wheel: dict[str, dict[str, tuple[str, ...]]] = {}
    above: list[str] = ["", ""]
    for row in rows:
        above = [_word(cell) if cell is not None else old for cell, old in zip(row, above)]  # noqa: B905
        branch = wheel.setdefault(above[0], {})
        leaf = () if row[2] is None else (_word(row[2]),)
        branch[above[1]] = (*branch.get(above[1], ()), *leaf)
    return wheel


def _sheet(path: Path) -> Iterator[tuple[object, ...]]:
    from openpyxl import load_workbook

    try:
        sheet = load_workbook(path, read_only=False, data_only=True).worksheets[0]
    except Exception as error:  # a broken workbook fails in many ways, all meaning the same
        raise DataError(str(path), f"cannot be read: {error}", fix=_FIX) from error
    return sheet.iter_rows(values_only=True)


def _word(cell: object) -> str:
    return str(cell).strip().lower()


def _words(cell: object) -> list[str]:
    return [word for part in str(cell or "").split(",") if (word := _word(part))]


def _number(path: Path) -> int:
    digits = re.findall(r"\d+", path.stem)
    return int(digits[-1]) if digits else 0
