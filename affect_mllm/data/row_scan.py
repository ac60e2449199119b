"""Checking every line of a manifest, in blocks that may go to several processes.

`python -m affect_mllm.data.row_scan FILE ROOT BEGIN END LINE` checks one block and writes what it
found to stdout: a fresh interpreter needs no `__main__` of the caller's that can be imported again.
"""

from __future__ import annotations

import hashlib
import io
import json
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from affect_mllm.data import row_checks
from affect_mllm.data.path_check import PathCheck
from affect_mllm.data.problems import Problem
from affect_mllm.data.records import id_of, parse
from affect_mllm.types import DataError

BLOCK_BYTES = 16 << 20
VOCABULARY = 256  # distinct values of a label that are remembered; a description has more
_BOM = b"\xef\xbb\xbf"

Text = bytes | mmap.mmap


@dataclass
class Found:
    """The rows of a block, in file order, and what is wrong with them.

    Columns `[N]`: `starts` and `stops` are byte places, `lines` count from 1, `ids` are 64-bit
    hashes (0: no id), `good` says which rows passed, `labels_only` which are labels alone, `split`
    numbers `splits`. `values` holds, for each split and label of strings, the distinct values, or
    None where there are too many.
    """

    columns: dict[str, npt.NDArray[Any]]
    splits: list[str | None]
    values: dict[str, dict[str, list[str] | None]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


COLUMNS = {
    "starts": np.int64,
    "stops": np.int64,
    "lines": np.int64,
    "ids": np.uint64,
    "good": np.bool_,
    "labels_only": np.bool_,
    "split": np.int32,
}


def scan_text(text: Text, root: Path | None, *, path: Path | None, workers: int) -> Found:
    """Everything about the JSON lines of `text`, duplicate ids included.

    Media are looked for below `root`; None: not at all, and a row need not have any. With `path`,
    the file that `text` maps, large texts are checked by `workers` processes.
    """
    blocks = list(_blocks(text))
    if path is None or root is None or workers < 2 or len(blocks) < 2:
        parts = [scan_block(text, root, *block) for block in blocks]
    else:
        with ThreadPoolExecutor(workers) as pool:
            parts = list(pool.map(lambda block: _elsewhere(path, root, block), blocks))
    found = _joined(parts)
    _find_duplicates(found, text)
    found.problems.sort(key=lambda problem: problem.line)
    return found


def scan_block(text: Text, root: Path | None, begin: int, end: int, line: int) -> Found:
    """What stands between two bytes of `text`, of which the first is in line `line`."""
    check = None if root is None else PathCheck(root)
    rows: list[tuple[int, int, int, int, bool, bool, int]] = []
    splits: dict[str | None, int] = {}
    problems: list[Problem] = []
    vocabulary: dict[str, dict[str, list[str] | None]] = {}
    for number, (start, stop) in enumerate(_lines(text, begin, end), start=line):
        raw = text[start:stop]
        if not raw.strip():
            continue
        row = parse(raw)
        id = id_of(row)
        reasons = [row] if isinstance(row, str) else list(_reasons(row, check))
        problems.extend(Problem(number, id, reason) for reason in reasons)
        split, bare = None, False
        if not reasons and isinstance(row, dict):
            split, bare = row.get("split"), "labels_only" in row
            _learn(vocabulary.setdefault(str(split), {}), row.get("labels", {}))
        place = splits.setdefault(split, len(splits))
        rows.append((start, stop, number, _hash(id), not reasons, bare, place))
    found = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    named = zip(COLUMNS.items(), found, strict=True)
    columns = {name: np.array(values, kind) for (name, kind), values in named}
    return Found(columns, [*splits], vocabulary, problems)


def line_at(text: Text, start: int) -> bytes:
    """The line of `text` that begins at byte `start`."""
    stop = text.find(b"\n", start)
    return text[start : stop if stop >= 0 else len(text)]


def _reasons(row: dict[str, Any], check: PathCheck | None) -> Iterator[str]:
    yield from row_checks.row_problems(row, media=check is not None)
    if check is None:
        return
    for whose, part in row_checks.parts_of(row):
        for key, value in row_checks.media_paths(part).items():
            if (reason := check.problem(key, value)) is not None:
                yield whose + reason


def _learn(known: dict[str, list[str] | None], labels: dict[str, Any]) -> None:
    for key, value in labels.items():
        have = known.setdefault(key, [])
        if have is None:
            continue
        new = [each for each in (value if isinstance(value, list) else [value]) if each not in have]
        if new:
            plain = all(isinstance(each, str) for each in new)
            known[key] = _capped([*have, *new]) if plain else None


def _capped(values: list[str]) -> list[str] | None:
    distinct = [*dict.fromkeys(values)]
    return distinct if len(distinct) <= VOCABULARY else None


def _hash(id: str) -> int:
    """64 bits of the id, never 0 but for no id: a million ids would be 100 MB as strings."""
    if not id:
        return 0
    raw = id.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little") or 1


def _blocks(text: Text) -> Iterator[tuple[int, int, int]]:
    """(begin, end, line of the first) of blocks that end with a line."""
    begin, line = (len(_BOM) if text[:3] == _BOM else 0), 1
    while begin < len(text):
        end = text.find(b"\n", min(begin + BLOCK_BYTES, len(text)))
        end = len(text) if end < 0 else end + 1
        yield begin, end, line
        line += text[begin:end].count(b"\n")
        begin = end


def _lines(text: Text, begin: int, end: int) -> Iterator[tuple[int, int]]:
    while begin < end:
        stop = text.find(b"\n", begin, end)
        stop = end if stop < 0 else stop
        yield begin, stop
        begin = stop + 1


def _elsewhere(path: Path, root: Path, block: tuple[int, int, int]) -> Found:
    """`scan_block` in a process of its own."""
    here = str(Path(__file__).parents[2])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(path), str(root), *map(str, block)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise DataError(
            str(path),
            f"a checking process failed: {done.stderr.decode()[-500:]}",
            fix="check it again where more memory is free",
        )
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as packed:
        rest = json.loads(packed["rest"].tobytes())
        problems = [Problem(*each) for each in rest["problems"]]
        columns = {name: packed[name] for name in COLUMNS}
    return Found(columns, rest["splits"], rest["values"], problems)


def _joined(parts: list[Found]) -> Found:
    if not parts:
        return scan_block(b"", Path(), 0, 0, 1)
    splits = [*dict.fromkeys(split for part in parts for split in part.splits)]
    for part in parts:
        number = np.array([splits.index(split) for split in part.splits] or [0], np.int32)
        part.columns["split"] = number[part.columns["split"]]
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in COLUMNS}
    values: dict[str, dict[str, list[str] | None]] = {}
    for part in parts:
        for split, labels in part.values.items():
            mine = values.setdefault(split, {})
            for key, words in labels.items():
                have = mine.setdefault(key, [])
                mine[key] = None if have is None or words is None else _capped([*have, *words])
    problems = [problem for part in parts for problem in part.problems]
    return Found(columns, splits, values, problems)


def _find_duplicates(found: Found, text: Text) -> None:
    """Mark every row whose id an earlier one has, and say so."""
    ids = found.columns["ids"]
    order = np.argsort(ids, kind="stable")
    same = ids[order][1:] == ids[order][:-1]
    suspects = np.unique(np.concatenate([order[1:][same], order[:-1][same]]))
    first: dict[str, int] = {}
    for at in suspects:
        id = id_of(parse(line_at(text, int(found.columns["starts"][at]))))
        line = int(found.columns["lines"][at])
        if id and first.setdefault(id, line) != line:
            found.columns["good"][at] = False
            reason = f"duplicate id, first used in line {first[id]}"
            found.problems.append(Problem(line, id, reason))


def _main(path: str, root: str, begin: str, end: str, line: str) -> None:
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as all:
        found = scan_block(all, Path(root), int(begin), int(end), int(line))
    problems = [(each.line, each.id, each.reason) for each in found.problems]
    rest = {"splits": found.splits, "values": found.values, "problems": problems}
    packed = io.BytesIO()
    text = np.frombuffer(json.dumps(rest).encode("utf-8", "surrogatepass"), np.uint8)
    np.savez(packed, allow_pickle=False, **found.columns, rest=text)
    sys.stdout.buffer.write(packed.getvalue())


if __name__ == "__main__":
    _main(*sys.argv[1:])
