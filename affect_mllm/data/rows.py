"""The rows of a manifest as a sequence of Samples that are parsed when they are asked for.

A million rows as Python objects take gigabytes in every process. Here a process holds the places
where rows begin and end, and the file's pages are shared. Large files are checked once for each
content: what was found is kept in a folder that their hash names.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from affect_mllm import types
from affect_mllm.config import cache_dir
from affect_mllm.data import placeholders, records, row_checks, row_scan
from affect_mllm.data.media_root import root_of
from affect_mllm.data.problems import Problem
from affect_mllm.data.row_scan import Found, Text
from affect_mllm.log import LOGGER
from affect_mllm.media.refusals import no_parquet, unreadable
from affect_mllm.types import DataError, Sample

KEPT_FROM_BYTES = 16 << 20  # smaller files are checked again each time: it takes under a second
_COLUMNS = ("starts", "stops", "lines", "labels_only", "split")


@dataclass(frozen=True)
class Table:
    """Where the good rows of a manifest are: `text` holds one JSON object a line.

    `root` is the folder that paths start from.

    `folder` is where the arrays are kept, None for a small manifest that holds them itself.
    """

    path: Path
    root: Path
    text: Text
    columns: dict[str, npt.NDArray[Any]]
    splits: tuple[str | None, ...]
    values: dict[str, dict[str, list[str] | None]]
    folder: Path | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the kept arrays instead of getting a copy of them."""
        if self.folder is not None:
            return _load, (self.path, self.folder)
        fields = (bytes(self.text[:]), self.columns, self.splits, self.values)
        return Table, (self.path, self.root, *fields)


class Rows(Sequence[Sample]):
    """Samples of a manifest in file order; `[i]` parses one, a slice is again `Rows`."""

    def __init__(self, table: Table, chosen: npt.NDArray[np.int64] | None = None) -> None:
        self.table, self.chosen = table, chosen

    def __len__(self) -> int:
        return len(self.table.columns["starts"]) if self.chosen is None else len(self.chosen)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Rows: ...
    def __getitem__(self, index: int | slice) -> Sample | Rows:
        """The Sample at `index`; DataError if the file was changed since it was checked."""
        if isinstance(index, slice):
            return Rows(self.table, self._numbers()[index])
        at = range(len(self))[index]
        at = at if self.chosen is None else int(self.chosen[at])
        columns = self.table.columns
        row = records.parse(self.table.text[int(columns["starts"][at]) : int(columns["stops"][at])])
        if isinstance(row, str):
            raise DataError(
                f"{self.table.path}:{int(columns['lines'][at])}",
                f"{row}; the file was changed while it was in use",
                fix="start again",
            )
        return records.sample_of(row, self.table.root)

    def __eq__(self, other: object) -> bool:
        """Whether the other sequence holds the same Samples."""
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def of_split(self, split: str) -> Rows:
        """The rows of one split; DataError names the splits there are if it has none."""
        numbers, here = self._numbers(), self.table.columns["split"]
        found = self.table.splits.index(split) if split in self.table.splits else -1
        chosen = numbers[np.asarray(here)[numbers] == found]
        if not len(chosen):
            there = sorted({str(self.table.splits[i]) for i in np.unique(here)})
            raise DataError(
                str(self.table.path), f"no row of split {split!r}", expected=f"one of {there}"
            )
        return Rows(self.table, chosen)

    def having(self, labels: Sequence[str]) -> Rows:
        """Those of the rows that have all of these labels; each is parsed for that."""
        able = [all(key in sample.labels for key in labels) for sample in self]
        return Rows(self.table, self._numbers()[np.array(able, bool)])

    def joined(self, other: Rows) -> Rows:
        """The rows of both, which are of one manifest, each once and in file order."""
        return Rows(self.table, np.union1d(self._numbers(), other._numbers()))

    def splits(self) -> list[str]:
        """The splits of these rows, as words."""
        present = np.unique(np.asarray(self.table.columns["split"])[self._numbers()])
        return sorted(str(self.table.splits[i]) for i in present)

    def lines(self) -> npt.NDArray[np.int64]:
        """The line (in Parquet: row) of each Sample, counted from 1."""
        return np.asarray(self.table.columns["lines"])[self._numbers()]

    def labels_only(self) -> npt.NDArray[np.int64]:
        """The lines of the rows that name no media because none were looked for."""
        return self.lines()[np.asarray(self.table.columns["labels_only"])[self._numbers()]]

    def values(self, label: str) -> set[str] | None:
        """The strings that label `label` has anywhere in these splits; None if there are many."""
        found: set[str] = set()
        for split in self.splits():
            words = self.table.values.get(split, {}).get(label, [])
            if words is None:
                return None
            found.update(words)
        return found

    def _numbers(self) -> npt.NDArray[np.int64]:
        return np.arange(len(self)) if self.chosen is None else self.chosen


class JoinedRows(Sequence[Sample]):
    """Several sequences of Samples as one; a slice is again one, and holds no Sample."""

    def __init__(self, parts: Sequence[Sequence[Sample]], numbers: range | None = None) -> None:
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        everything = range(int(self._ends[-1]) if len(parts) else 0)
        self._numbers = everything if numbers is None else numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> JoinedRows: ...
    def __getitem__(self, index: int | slice) -> Sample | JoinedRows:
        """The Sample at `index`, parsed now."""
        if isinstance(index, slice):
            return JoinedRows(self._parts, self._numbers[index])
        number = self._numbers[index]
        part = int(np.searchsorted(self._ends, number, side="right"))
        return self._parts[part][number - (int(self._ends[part - 1]) if part else 0)]


def scan(path: Path, *, media: bool = True) -> tuple[Rows, list[Problem]]:
    """The good rows and the problems of the bad ones, both in file order.

    Without `media` they are not looked for, and a row need not have any: labels are scored. Else a
    large file without problems is remembered, so that the same bytes beside the same folder are
    checked once. DataError when the file itself cannot be read.
    """
    size = _size(path)
    if size < KEPT_FROM_BYTES or not media:
        return _checked(path, read_text(path), media=media)
    folder = cache_dir() / "manifests" / _key(path)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_suffix(".lock")):
            if not folder.is_dir():
                LOGGER.info("%s: checking its rows, once for this content", path)
                found = _keep(path, folder)
                if found is not None:
                    return found
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        LOGGER.warning("warning: %s; the manifest is checked again at every start", error)
        return _checked(path, read_text(path))
    return Rows(_load(path, folder)), []


def read_text(path: Path) -> bytes:
    """The manifest as JSON lines, whatever its format. DataError when it cannot be read."""
    if path.suffix == ".parquet":
        return b"".join(_parquet_lines(path))
    need_known_ending(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def need_known_ending(path: Path) -> None:
    """DataError unless the name says JSONL or Parquet."""
    known = (".jsonl", ".parquet")
    if path.suffix not in known:
        raise DataError(
            str(path), f"a manifest ending in {path.suffix!r}", expected=" or ".join(known)
        )


def _size(path: Path) -> int:
    need_known_ending(path)
    try:
        return path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from error


def _checked(path: Path, text: Text, *, media: bool = True) -> tuple[Rows, list[Problem]]:
    root = root_of(path, there=media)
    found = row_scan.scan_text(text, root if media else None, path=None, workers=1)
    if not found.columns["good"].any() and not found.problems:
        found.problems.append(Problem(1, "", "the manifest has no rows"))
    return Rows(_table(path, root, text, found)), found.problems


def _table(path: Path, root: Path, text: Text, found: Found) -> Table:
    columns = {name: found.columns[name][found.columns["good"]] for name in _COLUMNS}
    return Table(path, root, text, columns, tuple(found.splits), found.values)


def _keep(path: Path, folder: Path) -> tuple[Rows, list[Problem]] | None:
    """Check the file and keep what was found; the finding itself if there were problems."""
    making = folder.with_suffix(".making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    source = path
    if path.suffix == ".parquet":
        source = making / "rows.jsonl"
        with source.open("wb") as file:
            file.writelines(_parquet_lines(path))
    with _mapped(source) as text:
        workers = os.cpu_count() or 1
        found = row_scan.scan_text(text, root_of(path), path=source, workers=workers)
        if found.problems:
            shutil.rmtree(making)
            return Rows(_table(path, root_of(path), bytes(text), found)), found.problems
    for name in _COLUMNS:
        np.save(making / f"{name}.npy", found.columns[name])
    rest = {"splits": found.splits, "values": found.values}
    (making / "rest.json").write_text(json.dumps(rest))
    os.rename(making, folder)
    return None


def _load(path: Path, folder: Path) -> Table:
    rest = json.loads((folder / "rest.json").read_text())
    columns = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _COLUMNS}
    source = folder / "rows.jsonl" if path.suffix == ".parquet" else path
    with source.open("rb") as file:
        text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    root = root_of(path)
    return Table(path, root, text, columns, tuple(rest["splits"]), rest["values"], folder)


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        yield text


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process of this machine at a time: ranks wait for the one that checks."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _key(path: Path) -> str:
    """What the finding depends on: the bytes, where media are looked for, and the checks."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(os.fsencode(f"{path.suffix} {os.path.realpath(root_of(path))} "))
    for module in (placeholders, row_checks, row_scan, records, types):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


def _parquet_lines(path: Path) -> Iterator[bytes]:
    """Each row as a JSON line; a null says that the key is absent."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=8192):
                for row in map(_without_nulls, batch.to_pylist()):
                    yield json.dumps(row, ensure_ascii=False, default=_foreign).encode() + b"\n"
    except (pyarrow.ArrowException, OSError) as error:
        raise no_parquet(path, error) from error


def _without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    """A Parquet table has every column in every row."""
    present = {key: value for key, value in row.items() if value is not None}
    for key in ("labels", "features"):
        if isinstance(present.get(key), dict):
            present[key] = {k: v for k, v in present[key].items() if v is not None}
    if isinstance(present.get("clips"), list):
        present["clips"] = [
            _without_nulls(clip) if isinstance(clip, dict) else clip for clip in present["clips"]
        ]
    return present


def _foreign(value: object) -> dict[str, str]:
    """A value that JSON does not have, as something that no check lets pass as text."""
    return {type(value).__name__: str(value)}
