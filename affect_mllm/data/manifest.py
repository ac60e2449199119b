"""Manifests (JSONL or Parquet): strict reading, every problem at once, stable writing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shlex
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from affect_mllm.data import media_root as media_roots
from affect_mllm.data import row_checks
from affect_mllm.data.label_space import sidecar
from affect_mllm.data.problems import PROBLEMS_SHOWN, Problem, raise_problems
from affect_mllm.data.records import id_of
from affect_mllm.data.records import row_of as to_row
from affect_mllm.data.rows import Rows, need_known_ending, scan
from affect_mllm.types import DataError, Sample

__all__ = ["PROBLEMS_SHOWN", "Problem", "Rows", "check_labels", "digest", "problems",
           "raise_problems", "read", "scan", "to_row", "write"]  # fmt: skip


def read(path: Path, *, split: str | None = None, media: bool = True) -> Rows:
    """The manifest's Samples in file order, only those of `split` where one is named.

    The whole file is checked first; DataError names every problem with file and line, or says
    that `split` has no rows. A Sample is parsed when it is asked for. Without `media` (to score
    answers) they are not looked for, and rows need not have any; else rows of labels alone are
    refused.
    """
    path = Path(path)
    rows, found = scan(path, media=media)
    raise_problems(path, found, fix=f"see them all: affect-mllm validate {shlex.quote(str(path))}")
    rows = rows if split is None else rows.of_split(split)
    if media and len(bare := rows.labels_only()):
        raise DataError(
            f"{path}:{bare[0]}",
            f"{len(bare)} rows of labels alone (labels_only): what they are about is not named",
            expected="rows with their media, for a model to see and hear",
            fix="make the manifest again without --labels-only",
        )
    return rows


def problems(path: Path) -> list[Problem]:
    """Everything wrong with the rows of a manifest, in file order; [] for a good one.

    DataError when the file itself cannot be read.
    """
    return scan(Path(path))[1]


def check_labels(rows: Rows, key: str, *, allowed: Collection[str]) -> None:
    """DataError that lists every row whose label `key` (a string or a list) is not allowed.

    A row without that label is left to the caller.
    """
    known = rows.values(key)
    if known is not None and known <= set(allowed):
        return
    bad = [
        Problem(
            int(line),
            sample.id,
            f"labels.{key} is outside the task: {', '.join(map(repr, outside))}"
            f" (expected one of {', '.join(sorted(allowed))})",
        )
        for sample, line in zip(rows, rows.lines(), strict=True)
        if key in sample.labels
        and (outside := row_checks.values_outside(sample.labels[key], allowed))
    ]
    raise_problems(rows.table.path, bad, fix="correct these labels, or the task's")


def write(
    rows: Iterable[Sample | Mapping[str, Any]], path: Path, *, media_root: Path | None = None
) -> None:
    """Write a manifest in one step; the same rows give the same bytes. Ending .jsonl or .parquet.

    `media_root`: the folder that its paths start from, where that is not its own (a file beside
    it says so). DataError for a row that `read` would refuse (media files are not looked for), for
    columns that Parquet cannot hold, and for a place that cannot be written.
    """
    path = Path(path)
    need_known_ending(path)
    plain = [_ordered(to_row(row) if isinstance(row, Sample) else row) for row in rows]
    fix = "correct what makes these rows; nothing was written"
    raise_problems(path, list(_found_in_rows(plain)), fix=fix)
    try:
        _replace(plain, path, media_root)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DataError(
            str(path),
            f"cannot be written: {error.strerror} ({error.filename or path})",
            fix="choose a folder that can be written with --out FILE; media may stay where they "
            "are (--media-root DIR)",
        ) from error


def _replace(rows: list[dict[str, Any]], path: Path, root: Path | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    try:
        if path.suffix == ".parquet":
            _write_parquet(rows, Path(temporary), path)
        else:
            _write_jsonl(rows, Path(temporary))
        os.chmod(temporary, 0o644)  # mkstemp's 0600 is not meant for data that others read
        media_roots.replace(Path(temporary), path, root)
        labels = sidecar(path)
        if labels.exists():  # of the old rows
            labels.unlink()
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def digest(path: Path) -> str:
    """sha256 of the file's bytes, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _found_in_rows(rows: Iterable[dict[str, Any]]) -> Iterator[Problem]:
    first_line: dict[str, int] = {}
    for line, row in enumerate(rows, start=1):
        id = id_of(row)
        yield from (Problem(line, id, reason) for reason in row_checks.row_problems(row))
        if id and first_line.setdefault(id, line) != line:
            yield Problem(line, id, f"duplicate id, first used in line {first_line[id]}")


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


def _write_parquet(rows: list[dict[str, Any]], path: Path, final: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = sorted({key for row in rows for key in row}, key=row_checks.ROW_KEYS.index)
    table = {key: [row.get(key) for row in rows] for key in columns}
    try:
        made = pyarrow.table(table)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, OverflowError) as error:
        raise DataError(
            str(final),
            f"a column of Parquet has values of one type; {_mixed(rows) or error}",
            expected="one type a column",
            fix="write .jsonl, which holds any, or make the values of one type",
        ) from error
    pyarrow.parquet.write_table(made, path)


def _mixed(rows: Iterable[Mapping[str, Any]]) -> str:
    """The keys whose values are of several types, with the first line of each type."""
    seen: dict[str, dict[str, int]] = {}
    for line, row in enumerate(rows, start=1):
        labels = {f"labels.{key}": value for key, value in row.get("labels", {}).items()}
        for key, value in {**row, **labels}.items():
            kind = "number" if isinstance(value, int | float) else type(value).__name__
            seen.setdefault(key, {}).setdefault(kind, line)
    return "; ".join(
        f"{key} is {', '.join(f'{kind} in line {line}' for kind, line in kinds.items())}"
        for key, kinds in seen.items()
        if len(kinds) > 1
    )
