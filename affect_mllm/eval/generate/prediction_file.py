"""A file of answers: written as they come, by several processes, and never twice or torn."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from affect_mllm.eval.files import write_text_atomic
from affect_mllm.eval.generate.question import Batches, Choose
from affect_mllm.eval.ranks import Ranks
from affect_mllm.types import DataError, Sample

_FEW = 4
Rows = dict[str, dict[str, Any]]


def predict_file(
    path: Path,
    samples: Sequence[Sample],
    ask: Callable[[Choose], Iterator[Mapping[str, Any]]],
    *,
    stamp: Mapping[str, str],
    ranks: Ranks | None = None,
) -> bool:
    """Write `path` with a row for every sample, in the samples' order; False if it was re-used.

    `ask` asks about the batches that what it is given chooses, of all rows: every process asks its
    part and appends to a file of its own, `NAME.partial.RANK`, so that a killed run, also one of
    another number of processes, asks only the batches that lack an answer. Rows of another
    checkpoint or prompt (`stamp`) are never mixed in; one with an `error` is asked for again.
    """
    ranks = ranks or Ranks()
    ids = [sample.id for sample in samples]
    finished = set(ids) <= set(_rows([path], stamp))
    ranks.meet()  # before one of them writes the file that another one looks for
    if finished:
        if ranks.is_main:  # a kill may have come after the file and before these were gone
            _forget(path)
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    done = _rows([path, *_partials(path)], stamp)
    mine = _partial(path, ranks.index)
    before = _rows([mine], stamp)
    ranks.meet()

    def choose(batches: Batches) -> Batches:
        return ranks.share([b for b in batches if any(sample.id not in done for sample in b)])

    _append(mine, before.values(), (row for row in ask(choose) if row["id"] not in done))
    ranks.meet()
    if ranks.is_main:
        _merge(path, ids, stamp)
    ranks.meet()
    return True


def refuse_faults(path: Path, samples: Sequence[Sample], limit: float) -> None:
    """DataError where more than `limit` of the samples have an `error` in the finished file."""
    ids = {sample.id for sample in samples}
    rows = _rows([path], {}, faults=True).values()
    faults = [row["error"] for row in rows if "error" in row and row["id"] in ids]
    if len(faults) > limit * len(ids):
        raise _too_many(path, f"{len(faults)} of {len(ids)}", faults, limit)


def watched(
    path: Path, rows: Iterable[Mapping[str, Any]], *, total: int, limit: float
) -> Iterator[Mapping[str, Any]]:
    """The rows; DataError as soon as more than `limit` of the `total` have an `error`.

    A few always pass: how many there are of few is said when all were asked.
    """
    faults: list[str] = []
    for count, row in enumerate(rows, 1):
        faults += [row["error"]] if "error" in row else []
        if len(faults) > max(limit * total, _FEW):
            raise _too_many(path, f"{len(faults)} of the first {count} of {total}", faults, limit)
        yield row


def _too_many(path: Path, got: str, faults: Sequence[str], limit: float) -> DataError:
    return DataError(
        str(path),
        f"{got} rows have no answer" + "".join(f"\n  {fault}" for fault in faults[:5]),
        expected=f"at most {limit:.1%} (max_bad_fraction)",
        fix="mend or remove files that cannot be read (`affect-mllm validate --decode` lists all), "
        "then start again: what was answered is kept, the rest is asked for",
    )


def _append(
    path: Path, before: Iterable[Mapping[str, Any]], fresh: Iterator[Mapping[str, Any]]
) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(_line(row) for row in before)
        stream.flush()
        for row in fresh:
            stream.write(_line(row))
            stream.flush()


def _merge(path: Path, ids: Sequence[str], stamp: Mapping[str, str]) -> None:
    sources = [path, *_partials(path)]
    done = _rows(sources, stamp, faults=True) | _rows(sources, stamp)
    lost = [name for name in ids if name not in done]
    if lost:
        raise DataError(str(path), f"no answer for {lost[:10]}", fix="start the same command again")
    write_text_atomic(path, "".join(_line(done[name]) for name in ids))
    _forget(path)


def _forget(path: Path) -> None:
    for partial in _partials(path):
        partial.unlink()


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _partial(path: Path, rank: int) -> Path:
    return path.with_name(f"{path.name}.partial.{rank}")


def _partials(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.partial.*"))


def _rows(paths: Sequence[Path], stamp: Mapping[str, str], *, faults: bool = False) -> Rows:
    """The whole rows that carry this stamp, by id; a torn last line is left out.

    Without `faults` those that have an `error` are left out too.
    """
    found: Rows = {}
    for path in paths:
        if path.is_file():
            lines = path.read_bytes().split(b"\n")[:-1]
            rows = (json.loads(line) for line in lines if line)
            fitting = (r for r in rows if all(r.get(k) == v for k, v in stamp.items()))
            found |= {r["id"]: r for r in fitting if faults or "error" not in r}
    return found
