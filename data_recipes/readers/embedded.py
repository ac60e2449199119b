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
import re
from ast import literal_eval
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from commandline import Plan, command
from recipe import Dataset, Entry, Inputs

from affect_mllm.media.lfs import IS_POINTER, PULL, is_pointer
from affect_mllm.types import ConfigError, DataError
from readers.jsons import read_json, read_jsonl

IMAGES, FRAMES = "images", "frames"
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

    def of(self, record: Record) -> dict[str, Path]:
        """The row's pictures as files, by number: those of a list from 1, or N of column `image_N`.

        What is named (`image_path`, `file_name`) and not brought along lies below the media
        root. DataError where neither is there to be read.
        """
        found = {n: self._file(value, record) for n, value in self._found(record).items()}
        if len(found) == 1 and "index" in record.cells:
            (self._of_row[record.text("index")],) = found.values()
        return found

    def frames(self, record: Record, name: str) -> Path:
        """The row's pictures as a folder, in their order."""
        folder = self.inputs.media_root / FRAMES / name
        for number, value in self._found(record).items():
            data = _data(value, record)
            self._write(folder / f"{int(number):04d}{_ending(data, record)}", data)
        return folder

    def _found(self, record: Record) -> dict[str, Any]:
        value = record.cells.get("image")
        if value is None:
            columns = ((name.removeprefix("image_"), name) for name in record.cells)
            found = {n: record.cells[name] for n, name in columns if n.isdecimal()}
            named = record.texts("image_path", "file_name", "image_name")
            below = [self.inputs.media_root / each for each in named]
            return found or {str(n): path for n, path in enumerate(below, start=1)}
        items = _listed(value) if isinstance(value, str) else value
        items = items if isinstance(items, list) else [items]
        return {str(n): item for n, item in enumerate(items, start=1)}

    def _file(self, value: Any, record: Record) -> Path:
        if isinstance(value, Path):
            return value
        text = value.strip() if isinstance(value, str) else ""
        if text in self._of_row:
            return self._of_row[text]
        if 0 < len(text) <= _REFERENCE and "." in text:
            return self.inputs.media_root / text
        data = _data(value, record)
        name = hashlib.sha256(data).hexdigest()[:20] + _ending(data, record)
        return self._write(self.inputs.media_root / IMAGES / name, data)

    def _write(self, path: Path, data: bytes) -> Path:
        if not (self.inputs.labels_only or path.is_file()):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            temporary.write_bytes(data)
            temporary.replace(path)
        return path


def _ending(data: bytes, record: Record) -> str:
    ending = next((each for magic, each in _KINDS.items() if data.startswith(magic)), None)
    if ending is None:
        raise DataError(record.where, "a picture of no known form", fix="fetch the file again")
    return ending


def _data(value: Any, record: Record) -> bytes:
    """The bytes of a picture that a cell brings along."""
    if isinstance(value, dict):
        value = value.get("bytes") or b""
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(str(value).strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(record.where, f"image is no base64: {error}") from error


Labels = Callable[[Record], Mapping[str, Any]]
Media = Callable[[Pictures, Record, str], Mapping[str, Any] | None]
_PLACE = re.compile(r"<image (\d+)>")


def single(pictures: Pictures, record: Record, _id: str) -> dict[str, Any] | None:
    """The row's one picture; None where it has none or several."""
    found = [*pictures.of(record).values()]
    return {"image": found[0]} if len(found) == 1 else None


def several(pictures: Pictures, record: Record, _id: str) -> dict[str, Any] | None:
    """The row's picture, or its pictures as clips that are called by their numbers."""
    found = pictures.of(record)
    if len(found) < 2:
        return single(pictures, record, _id)
    return {"clips": [{"name": name, "image": path} for name, path in found.items()]}


def placed(labels: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Labels of a row with several pictures: where `<image 1>` is said first, picture 1 stands.

    Said again it is "image 1"; pictures that are never mentioned stand before the question.
    """
    seen: set[str] = set()

    def place(found: re.Match[str]) -> str:
        name = found[1]
        if name in seen or name not in names:
            return f"image {name}"
        seen.add(name)
        return f"<image:{name}>"

    made = {**labels, "question": _PLACE.sub(place, labels["question"])}
    options = {x: _PLACE.sub(place, text) for x, text in (labels.get("options") or {}).items()}
    before = [f"<image:{name}>" for name in names if name not in seen]
    made["question"] = "\n".join([*before, made["question"]])
    return made | ({"options": options} if options else {})


def questions(
    inputs: Inputs,
    *,
    file: Path,
    columns: tuple[str, ...],
    labels: Labels,
    split: str = "",
    id: str = "index",
    only: tuple[str, tuple[str, ...]] = ("", ()),
    group: Callable[[Record, str], str] = lambda _, name: name,
    media: Media = single,
) -> Iterator[Entry]:
    """A row for each question about a picture, or about what `media` gives: what `labels` says.

    `only` names a column and the values of it that count, where the file has it. A row's id is in
    the column `id` ("a|b": in either), else it is its place from 0, as lmms-eval numbers rows. Its
    `group` is by default the picture, so that errors of questions about one are counted together.
    Rows of which `media` gives nothing are left out, and noted.
    """
    pictures, left_out = Pictures(inputs), 0
    for record in records(file, columns):
        column, values = only
        if values and record.get(column) not in ("", *values):
            continue
        name = record.get(*id.split("|")) or str(record.place)
        found = media(pictures, record, name)
        if found is None:
            left_out += 1
            continue
        said, clips = dict(labels(record)), found.get("clips")
        if clips:
            said = placed(said, [clip["name"] for clip in clips])
        (shown, *_) = [clip["image"] for clip in clips] if clips else found.values()
        row = {"id": name, **found, "split": split, "group": group(record, shown.stem)}
        yield Entry(row | {"labels": said}, record.path, record.number)
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
