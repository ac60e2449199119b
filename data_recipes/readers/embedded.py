"""Benchmarks whose rows bring their pictures along: VLMEvalKit's TSV, the Hub's Parquet.

A TSV has base64 in `image` (or the index of an earlier row with the same picture, or a list of
several), a Parquet file `{"bytes", "path"}`. Pictures become files of `images/` below the media
root, named by their content: one that several rows share is written once.
"""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import os
from ast import literal_eval
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from commandline import Plan, command
from recipe import Dataset, Entry, Inputs

from affect_mllm.media.lfs import IS_POINTER, PULL, is_pointer
from affect_mllm.types import ConfigError, DataError
from readers.jsons import read_json, read_jsonl

IMAGES = "images"
_WIDEST = 2**31 - 1  # characters of a cell: a long video's frames in base64
_REFERENCE = 64  # a cell that short is another row's index (VLMEvalKit, image_base.py)
_KINDS = {b"\x89PNG": ".png", b"\xff\xd8": ".jpg", b"GIF8": ".gif", b"BM": ".bmp", b"RIFF": ".webp"}
LETTERS = "ABCDEFGHIJ"

File = Annotated[Path, typer.Argument(help="The TSV, a Parquet file, or a folder of its shards.")]


@dataclass(frozen=True)
class Record:
    """One row of a table: where it stands, its cells without what is empty, and its place among
    the rows of all files, from 0."""

    path: Path
    number: int
    cells: Mapping[str, Any]
    place: int

    @property
    def where(self) -> str:
        """`file:row`, as messages name it."""
        return f"{self.path}:{self.number}"

    def text(self, *names: str) -> str:
        """The first of the columns `names` that has something, as text; DataError if none has."""
        for name in names:
            if name in self.cells:
                return str(self.cells[name]).strip()
        raise DataError(
            self.where,
            f"nothing in {' or '.join(map(repr, names))}",
            expected=f"the columns are {sorted(self.cells)}",
        )

    def get(self, *names: str) -> str:
        """The same, "" if none has."""
        return next((str(self.cells[n]).strip() for n in names if n in self.cells), "")

    def texts(self, *names: str) -> list[str]:
        """A list in a cell, as a list or as Python or JSON writes one; a text alone is one item."""
        found = next((self.cells[name] for name in names if name in self.cells), [])
        if isinstance(found, str):
            found = _listed(found)
        items = found if isinstance(found, list | tuple) else [found]
        return [str(each).strip() for each in items if str(each).strip()]

    def options(self) -> dict[str, str]:
        """Options by letter: columns A, B, …, or a list `options` or `choices`."""
        by_column = {x: str(self.cells[x]).strip() for x in LETTERS if x in self.cells}
        listed = self.texts("options", "choices") if not by_column else []
        return by_column or dict(zip(LETTERS, listed, strict=False))

    def letter(self, *names: str) -> str:
        """The answer as a letter; a number counts options from 0."""
        said = self.text(*names)
        if said.isdigit() and int(said) < len(LETTERS):
            return LETTERS[int(said)]
        return said.upper() if len(said) == 1 else said


def people(record: Record) -> list[str]:
    """What people answered: a list of texts, or of objects with an `answer`."""
    found = record.cells.get("answers", record.cells.get("answer"))
    items = _listed(found) if isinstance(found, str) else found
    if not isinstance(items, list | tuple):
        items = [items]
    return [str(each.get("answer", "") if isinstance(each, dict) else each) for each in items]


def _listed(text: str) -> Any:
    """The list that a text writes, else the text."""
    if not text.lstrip().startswith("["):
        return text
    try:
        return literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text


def records(path: Path, columns: tuple[str, ...]) -> Iterator[Record]:
    """The rows of a TSV, JSON or Parquet file, or of all Parquet files below a folder.

    The table has `columns`; "a|b" is either of two. ConfigError for a path that is not there,
    DataError for a file of another form.
    """
    if not path.exists():
        raise ConfigError("FILE", f"{path} is not there", expected="a TSV or Parquet file")
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    if not files:
        raise DataError(str(path), "no Parquet file in it")
    place = 0
    for file in files:
        if is_pointer(file, file.stat().st_size):
            raise DataError(str(file), IS_POINTER, fix=PULL)
        read = _READERS.get(file.suffix, _tsv)
        for number, cells in enumerate(read(file), start=1):
            if missing := [n for n in columns if not {*n.split("|")} & cells.keys()]:
                raise DataError(
                    f"{file}:{number}",
                    f"no column {', '.join(map(repr, missing))}",
                    expected=f"the columns are {sorted(cells)}",
                )
            kept = {k: v for k, v in cells.items() if not _is_empty(v)}
            yield Record(file, number, kept, place)
            place += 1
    if not place:
        raise DataError(str(path), "no rows")


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in ("", "nan"))


def _tsv(path: Path) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(_WIDEST)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t", strict=True):
                if None in row or None in row.values():
                    raise DataError(str(path), f"a row of another length: {[*row.values()][:3]}")
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(str(path), f"not a TSV: {error}") from error


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=64):
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(str(path), f"cannot be read as Parquet: {error}") from error


def _json(path: Path) -> Iterator[dict[str, Any]]:
    for at, row in enumerate(read_json(path, list)):
        if not isinstance(row, dict):
            raise DataError(f"{path}[{at}]", f"a {type(row).__name__}", expected="an object")
        yield row


_READERS: dict[str, Callable[[Path], Iterator[dict[str, Any]]]] = {
    ".parquet": _parquet,
    ".json": _json,
    ".jsonl": lambda path: (row for _, row in read_jsonl(path)),
}


@dataclass
class Pictures:
    """Writes the pictures of a table's rows, each once."""

    inputs: Inputs
    _of_row: dict[str, Path] = field(default_factory=dict)

    def of(self, record: Record) -> Path | None:
        """The row's one picture as a file; None where it has none or several.

        One that is named (`image_path`, `file_name`) and not brought along lies below the media
        root. DataError where neither is there to be read.
        """
        found = self._found(record)
        if found is not None and "index" in record.cells:
            self._of_row[record.text("index")] = found
        return found

    def _found(self, record: Record) -> Path | None:
        value = record.cells.get("image", record.cells.get("image_1"))
        if value is None:
            named = record.texts("image_path", "file_name", "image_name")
            return self.inputs.media_root / named[0] if len(named) == 1 else None
        if isinstance(value, dict):
            return self._kept(value.get("bytes") or b"", record)
        if isinstance(value, bytes):
            return self._kept(value, record)
        items = _listed(str(value))
        if isinstance(items, list):
            if len(items) != 1:
                return None
            value = items[0]
        text = str(value).strip()
        if text in self._of_row:
            return self._of_row[text]
        if len(text) <= _REFERENCE and "." in text:
            return self.inputs.media_root / text
        return self._kept(_decoded(text, record), record)

    def _kept(self, data: bytes, record: Record) -> Path:
        ending = next((each for magic, each in _KINDS.items() if data.startswith(magic)), None)
        if ending is None:
            raise DataError(record.where, "a picture of no known form", fix="fetch the file again")
        name = hashlib.sha256(data).hexdigest()[:20]
        path = self.inputs.media_root / IMAGES / f"{name}{ending}"
        if not (self.inputs.labels_only or path.is_file()):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            temporary.write_bytes(data)
            temporary.replace(path)
        return path


def _decoded(text: str, record: Record) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(record.where, f"image is no base64: {error}") from error


Labels = Callable[[Record], Mapping[str, Any]]


def questions(
    inputs: Inputs,
    *,
    file: Path,
    columns: tuple[str, ...],
    labels: Labels,
    split: str = "",
    id: str = "index",
    only: tuple[str, tuple[str, ...]] = ("", ()),
    group: Callable[[Record, Path], str] = lambda _, path: path.stem,
) -> Iterator[Entry]:
    """A row for each question about one picture: what `labels` says of it.

    `only` names a column and the values of it that count, where the file has it. A row's id is in
    the column `id` ("a|b": in either), else it is its place from 0, as lmms-eval numbers rows. Its
    `group` is by default the picture, so that errors of questions about one are counted together.
    Rows without a picture or with several are left out, and noted.
    """
    pictures, left_out = Pictures(inputs), 0
    for record in records(file, columns):
        column, values = only
        if values and record.get(column) not in ("", *values):
            continue
        picture = pictures.of(record)
        if picture is None:
            left_out += 1
            continue
        row = {"id": record.get(*id.split("|")) or str(record.place), "image": picture}
        row |= {"split": split, "group": group(record, picture), "labels": dict(labels(record))}
        yield Entry(row, record.path, record.number)
    if left_out:
        inputs.notes.append(f"{left_out} rows left out, which have no picture or several")


def benchmark(
    dataset: Dataset, labels: Labels, *, columns: tuple[str, ...], **options: Any
) -> typer.Typer:
    """The command line of a benchmark whose file brings its pictures along."""

    def plan(file: File) -> Plan:
        def rows(inputs: Inputs) -> Iterator[Entry]:
            return questions(inputs, file=file, columns=columns, labels=labels, **options)

        return Plan(dataset, rows)

    plan.__doc__ = f"Make a manifest of {dataset.title}."
    return command(plan)
