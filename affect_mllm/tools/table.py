"""A CSV as rows of named cells, and what is wrong with it by line."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from affect_mllm.data.problems import Problem
from affect_mllm.types import DataError

EXCEL = re.compile(r"\"?sep=(.)\"?", re.IGNORECASE)  # a first line that tells it the delimiter


@dataclass
class Table:
    """A CSV as read: rows by line number, with lower-case column names and no empty cells."""

    path: Path
    columns: list[str]
    rows: list[tuple[int, dict[str, str]]]
    problems: list[Problem] = field(default_factory=list)

    def rename(self, old: str, new: str) -> None:
        """Call a column otherwise."""
        self.columns[self.columns.index(old)] = new
        for _, cells in self.rows:
            if old in cells:
                cells[new] = cells.pop(old)

    def cells(self) -> dict[str, list[str]]:
        """The cells of each column that are not empty."""
        found: dict[str, list[str]] = {}
        for _, cells in self.rows:
            for name, cell in cells.items():
                found.setdefault(name, []).append(cell)
        return found


def read_table(path: Path) -> Table:
    """A CSV (comma, semicolon, tab, or as `sep=` says; UTF-8) as a Table, ragged rows its problems.

    DataError when it cannot be read, has no rows, or names a column twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), f"cannot be read: {error}", expected="a UTF-8 CSV") from error
    first = text.partition("\n")[0]
    told = EXCEL.fullmatch(first.rstrip("\r"))
    delimiter = told[1] if told else max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        if told:
            next(reader)
        header = [name.strip().lower() for name in next(reader, [])]
        table = Table(path, header, [])
        for cells in reader:
            _add_row(table, reader.line_num, cells)
    except csv.Error as error:
        raise DataError(
            f"{path}:{reader.line_num}",
            f"not CSV: {error}",
            fix="close the quotation mark, or save the table as CSV again",
        ) from error
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    if twice:
        raise DataError(
            f"{path}:1",
            f"columns named twice: {', '.join(twice)}",
            fix="rename all but one of each",
        )
    if not table.rows and not table.problems:
        raise DataError(str(path), "no rows", expected="a header line and a line for each clip")
    return table


def _add_row(table: Table, line: int, cells: list[str]) -> None:
    if not any(cell.strip() for cell in cells):
        return
    if len(cells) != len(table.columns):
        reason = f"{len(cells)} cells for {len(table.columns)} columns"
        table.problems.append(Problem(line, "", reason))
        return
    stripped = ((name, cell.strip()) for name, cell in zip(table.columns, cells, strict=True))
    table.rows.append((line, {name: cell for name, cell in stripped if cell and name}))
