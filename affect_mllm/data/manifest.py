"""Manifests (JSONL or Parquet) → Samples: strict reading, every problem at once, stable writing."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affect_mllm.data import row_checks
from affect_mllm.types import MEDIA_FIELDS, DataError, Sample

PROBLEMS_SHOWN = 20

# One record of a file: line (row number in Parquet), the row or the reason why there is none.
_Record = tuple[int, dict[str, Any] | str]


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one row: `line` (in Parquet: row) counts from 1, `id` may be empty."""

    line: int
    id: str
    reason: str


def read(path: Path, *, split: str | None = None) -> list[Sample]:
    """The manifest's Samples in file order, only those of `split` where one is named.

    The whole file is checked first; DataError names every problem with file and line, or says
    that `split` has no rows.
    """
    path = Path(path)
    samples, found = scan(path)
    raise_problems(path, found)
    if split is None:
        return samples
    chosen = [sample for sample in samples if sample.split == split]
    if not chosen:
        there = sorted({str(sample.split) for sample in samples})
        raise DataError(str(path), f"no row of split {split!r}", expected=f"one of {there}")
    return chosen


def problems(path: Path) -> list[Problem]:
    """Everything wrong with the rows of a manifest, in file order; [] for a good one.

    DataError when the file itself cannot be read.
    """
    return scan(Path(path))[1]


def raise_problems(path: Path, found: Sequence[Problem]) -> None:
    """DataError listing the first 20 of `found` as file:line; nothing when there are none."""
    if not found:
        return
    lines = [
        f"{path}:{each.line}: {f'[{each.id}] ' if each.id else ''}{each.reason}"
        for each in found[:PROBLEMS_SHOWN]
    ]
    if len(found) > PROBLEMS_SHOWN:
        lines.append(f"and {len(found) - PROBLEMS_SHOWN} more")
    count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
    raise DataError(
        str(path), "\n    ".join([count, *lines]), fix=f"see them all: affect-mllm validate {path}"
    )


def check_labels(
    samples: Iterable[Sample], key: str, *, allowed: Collection[str], path: Path
) -> None:
    """DataError that lists every sample whose label `key` (a string or a list) is not allowed.

    A sample without that label is left to the caller. `path` is the manifest they came from.
    """
    bad = {
        sample.id: f"labels.{key} is outside the task: {', '.join(map(repr, outside))}"
        f" (expected one of {', '.join(sorted(allowed))})"
        for sample in samples
        if key in sample.labels
        and (outside := row_checks.values_outside(sample.labels[key], allowed))
    }
    if bad:
        lines = line_numbers(path)
        raise_problems(path, [Problem(lines[id], id, reason) for id, reason in bad.items()])


def line_numbers(path: Path) -> dict[str, int]:
    """Line (in Parquet: row) of each id, counted from 1; the first one of a duplicate."""
    lines: dict[str, int] = {}
    for line, row in _records(Path(path)):
        lines.setdefault(_id_of(row), line)
    return lines


def write(rows: Iterable[Sample | Mapping[str, Any]], path: Path) -> None:
    """Write a manifest in one step; the same rows give the same bytes. Ending .jsonl or .parquet.

    DataError for a row that `read` would refuse (media files are not looked for).
    """
    path = Path(path)
    _reader(path)
    plain = [_ordered(to_row(row) if isinstance(row, Sample) else row) for row in rows]
    raise_problems(path, list(_found_in_rows(plain)))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    try:
        (_write_parquet if path.suffix == ".parquet" else _write_jsonl)(plain, Path(temporary))
        os.chmod(temporary, 0o644)  # mkstemp's 0600 is not meant for data that others read
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def to_row(sample: Sample) -> dict[str, Any]:
    """The row that `sample` is read from: absent fields are left out."""
    row: dict[str, Any] = {"id": sample.id, **sample.media}
    for key in (*row_checks.TIME_KEYS, *row_checks.TEXT_KEYS):
        value = getattr(sample, key)
        if value is not None:
            row[key] = value
    if sample.labels:
        row["labels"] = sample.labels
    if sample.messages:
        row["messages"] = [dict(turn) for turn in sample.messages]
    if sample.face_times_s:
        row["face_boxes"] = [list(box) for box in sample.face_boxes]
        row["face_times_s"] = list(sample.face_times_s)
    return row


def digest(path: Path) -> str:
    """sha256 of the file's bytes, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def scan(path: Path) -> tuple[list[Sample], list[Problem]]:
    """The Samples of the good rows and the problems of the bad ones, both in file order.

    DataError when the file itself cannot be read.
    """
    root, check = path.parent, row_checks.PathCheck(path.parent)
    samples: list[Sample] = []
    found: list[Problem] = []
    first_line: dict[str, int] = {}
    for line, row in _records(path):
        id = _id_of(row)
        reasons = [row] if isinstance(row, str) else list(_all_reasons(row, check))
        if id and first_line.setdefault(id, line) != line:
            reasons.append(f"duplicate id, first used in line {first_line[id]}")
        found.extend(Problem(line, id, reason) for reason in reasons)
        if not reasons and isinstance(row, dict):
            samples.append(_sample(row, root))
    if not samples and not found:
        found.append(Problem(1, "", "the manifest has no rows"))
    return samples, found


def _all_reasons(row: dict[str, Any], check: row_checks.PathCheck) -> Iterator[str]:
    yield from row_checks.row_problems(row)
    for key in MEDIA_FIELDS:
        if key in row and (reason := check.problem(key, row[key])) is not None:
            yield reason


def _found_in_rows(rows: Iterable[dict[str, Any]]) -> Iterator[Problem]:
    first_line: dict[str, int] = {}
    for line, row in enumerate(rows, start=1):
        id = _id_of(row)
        yield from (Problem(line, id, reason) for reason in row_checks.row_problems(row))
        if id and first_line.setdefault(id, line) != line:
            yield Problem(line, id, f"duplicate id, first used in line {first_line[id]}")


def _id_of(row: dict[str, Any] | str) -> str:
    id = row.get("id") if isinstance(row, dict) else None
    return id if isinstance(id, str) else ""


def _sample(row: dict[str, Any], root: Path) -> Sample:
    plain = {key: row[key] for key in _PLAIN_KEYS if key in row}
    return Sample(
        **plain,
        root=root,
        media={key: row[key] for key in MEDIA_FIELDS if key in row},
        messages=tuple(row.get("messages", ())),
        face_boxes=tuple(map(tuple, row.get("face_boxes", ()))),
        face_times_s=tuple(row.get("face_times_s", ())),
    )


def _records(path: Path) -> Iterator[_Record]:
    return _reader(path)(path)


def _reader(path: Path) -> Callable[[Path], Iterator[_Record]]:
    readers = {".jsonl": _read_jsonl, ".parquet": _read_parquet}
    if path.suffix not in readers:
        raise DataError(
            str(path), f"a manifest ending in {path.suffix!r}", expected=str([*readers])
        )
    return readers[path.suffix]


def _read_jsonl(path: Path) -> Iterator[_Record]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(str(path), f"cannot be read: {error.strerror}") from error
    for line, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if raw.strip():
            yield line, _parse(raw)


def _parse(raw: bytes) -> dict[str, Any] | str:
    try:
        row = _DECODER.decode(raw.decode("utf-8").strip())
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {error.start + 1}"
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at column {error.colno}"
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    return (
        row if isinstance(row, dict) else f"a row must be a JSON object, got {type(row).__name__}"
    )


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key used twice: {next(key for key in keys if keys.count(key) > 1)}")
    return result


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _read_parquet(path: Path) -> Iterator[_Record]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(str(path), f"cannot be read as Parquet: {error}") from error
    yield from enumerate(map(_without_nulls, rows), start=1)


def _without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    """A Parquet table has every column in every row: there a null says that the key is absent."""
    present = {key: value for key, value in row.items() if value is not None}
    if isinstance(present.get("labels"), dict):
        present["labels"] = {k: v for k, v in present["labels"].items() if v is not None}
    return present


def _ordered(row: Mapping[str, Any]) -> dict[str, Any]:
    """Known keys first and in one order, labels by name: equal rows are equal bytes."""
    keys = [*(key for key in row_checks.ROW_KEYS if key in row)]
    keys += sorted(key for key in row if key not in row_checks.ROW_KEYS)
    result = {key: row[key] for key in keys}
    if isinstance(result.get("labels"), dict):
        result["labels"] = dict(sorted(result["labels"].items()))
    if "messages" in result:
        result["messages"] = [dict(sorted(turn.items(), reverse=True)) for turn in row["messages"]]
    return result


def _write_jsonl(rows: list[dict[str, Any]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _write_parquet(rows: list[dict[str, Any]], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = sorted({key for row in rows for key in row}, key=row_checks.ROW_KEYS.index)
    table = {key: [row.get(key) for row in rows] for key in columns}
    pyarrow.parquet.write_table(pyarrow.table(table), path)


_PLAIN_KEYS = ("id", *row_checks.TIME_KEYS, *row_checks.TEXT_KEYS, "labels")
_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_no_constant)
