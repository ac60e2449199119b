"""Tables as publishers ship them (CSV, TSV, XLSX): rows with their line, columns checked."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from affect_mllm.media.lfs import IS_POINTER, PULL, is_pointer
from affect_mllm.types import DataError


@dataclass(frozen=True)
class Line:
    """One row of a file: where it stands (`number` counts from 1) and its cells by column."""

    path: Path
    number: int
    cells: Mapping[str, str]

    @property
    def where(self) -> str:
        """`file:line`, as every message names a row."""
        return f"{self.path}:{self.number}"

    def text(self, column: str) -> str:
        """The cell, stripped; DataError when it is empty."""
        value = self.cells[column].strip()
        if not value:
            raise DataError(self.where, f"an empty cell in column {column!r}")
        return value

    def optional(self, column: str) -> str:
        """The cell, stripped; "" where it is empty, `nan` (as pandas writes it) or no column."""
        value = self.cells.get(column, "").strip()
        return "" if value.lower() == "nan" else value

    def number_of(self, column: str, *, low: float = -math.inf, high: float = math.inf) -> float:
        """The cell as a number of [low, high]; DataError for anything else."""
        value = self.text(column)
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise DataError(
                self.where, f"{column} {value!r}", expected=f"a number from {low:g} to {high:g}"
            )
        return number

    def integer(self, column: str) -> int:
        """The cell as a whole number (`3` or `3.0`); DataError for anything else."""
        number = self.number_of(column)
        if not float(number).is_integer():
            raise DataError(self.where, f"{column} {number!r}", expected="a whole number")
        return int(number)


def read_csv(path: Path, columns: Sequence[str], *, delimiter: str = ",") -> list[Line]:
    """The rows of a UTF-8 table whose header has at least `columns`.

    DataError when the file is missing or not UTF-8, a column is missing, a row has more or fewer
    cells than the header, or there is no row.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter)
    header: list[str] = []
    lines: list[Line] = []
    start = 1
    try:
        for cells in reader:
            if not header:
                header = [name.strip() for name in cells]
                _check_header(path, header, columns)
            elif any(cell.strip() for cell in cells):
                lines.append(_line(path, start, header, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{start}", f"not a table: {error}") from error
    return _some(path, lines)


def read_columns(path: Path, columns: Sequence[str], *, delimiter: str | None) -> list[Line]:
    """The rows of a UTF-8 text table without a header; `delimiter=None`: runs of white space.

    The last column takes what is left of its line. DataError for a line with fewer columns.
    """
    lines = []
    for number, text in lines_of(path):
        cells = [cell.strip() for cell in text.split(delimiter, len(columns) - 1)]
        lines.append(_line(path, number, columns, cells))
    return _some(path, lines)


def read_xlsx(path: Path, columns: Sequence[str]) -> list[Line]:
    """The rows of a workbook's first sheet, which has `columns` in this order and no header.

    DataError when it cannot be read, a row has cells beyond them, or there is no row. Formulas are
    never evaluated: openpyxl gives the values that were saved.
    """
    lines = [
        _line(path, number, columns, cells)
        for number, cells in enumerate(sheet(path), start=1)
        if any(cells)
    ]
    return _some(path, lines)


def sheet(path: Path) -> list[list[str]]:
    """The cells of a workbook's first sheet; DataError when it cannot be read."""
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        rows = list(book.worksheets[0].iter_rows(values_only=True))
    except Exception as error:  # whatever openpyxl, zipfile and the XML parser raise
        raise DataError(str(path), f"cannot be read as XLSX: {error!r}") from error
    return [["" if cell is None else str(cell).strip() for cell in row] for row in rows]


def read_text(path: Path) -> str:
    """The whole file as UTF-8, without a byte order mark; DataError when that cannot be."""
    try:
        if is_pointer(path, path.stat().st_size):
            raise DataError(str(path), IS_POINTER, fix=PULL)
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(
            str(path),
            f"cannot be read: {error.strerror}",
            fix="give the folder as the publisher distributes it",
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(str(path), f"not UTF-8 at byte {error.start + 1}") from error


def by_key(lines: Sequence[Line], column: str) -> dict[str, Line]:
    """Rows by the text of a column; DataError where two rows that differ have the same.

    A line that is repeated as a whole counts once: MER-UniBench's subtitles of IEMOCAP have two.
    """
    found: dict[str, Line] = {}
    for line in lines:
        key = line.text(column)
        if key in found and found[key].cells != line.cells:
            raise DataError(line.where, f"{column} {key!r} again", expected="each of them once")
        found[key] = line
    return found


def _check_header(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in header]
    if missing:
        raise DataError(
            f"{path}:1",
            f"no column {', '.join(map(repr, missing))}; the columns are {list(header)}",
            expected=f"columns {', '.join(columns)}",
        )


def _line(path: Path, number: int, header: Sequence[str], cells: Sequence[str]) -> Line:
    if len(cells) != len(header):
        raise DataError(f"{path}:{number}", f"{len(cells)} cells for {len(header)} columns")
    return Line(path, number, dict(zip(header, cells, strict=True)))


def _some(path: Path, lines: list[Line]) -> list[Line]:
    if not lines:
        raise DataError(str(path), "no rows")
    return lines


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Number (from 1) and stripped text of every line that is not blank.

    Lines end at \\n or \\r\\n alone: other characters that Unicode counts as ends occur in texts.
    """
    for number, text in enumerate(read_text(path).split("\n"), start=1):
        if text.strip():
            yield number, text.strip()
