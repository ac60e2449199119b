"""What `validate` finds: bad rows, one thing in two splits, media that do not decode."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from affect_mllm.data import label_file, manifest
from affect_mllm.data.label_space import sidecar
from affect_mllm.data.problems import Problem
from affect_mllm.data.rows import Rows
from affect_mllm.media.content import content_hash, size_of
from affect_mllm.tools.decoding import Job, decode_all
from affect_mllm.types import DataError, Sample, is_url


@dataclass(frozen=True)
class Validation:
    """What was found in one manifest: how many rows have no problem, problems by line, and how
    many rows are labels alone, whose media were not looked at."""

    path: Path
    good_rows: int
    problems: tuple[Problem, ...]
    labels_only: int = 0


def by_reason(found: Sequence[Validation]) -> list[tuple[str, int]]:
    """Kinds of problems and their counts, the most frequent first."""
    kinds = Counter(_kind(problem.reason) for each in found for problem in each.problems)
    return sorted(kinds.items(), key=lambda each: (-each[1], each[0]))


def validate(*paths: Path, decode: bool = False, workers: int | None = None) -> list[Validation]:
    """Check the rows of manifests, the files of their labels, leakage and, with `decode`, media.

    Leakage is looked for within and between manifests. DataError when a manifest itself cannot be
    read.
    """
    scanned = [manifest.scan(path) for path in paths]
    found = [[*problems] for _, problems in scanned]
    tables = [rows for rows, _ in scanned]
    for path, problems in zip(paths, found, strict=True):
        problems += _labels_problem(path)
    for number, problem in leaks(tables):
        found[number].append(problem)
    if decode:
        for number, problem in _undecodable(tables, workers):
            found[number].append(problem)
    return [
        Validation(
            path,
            len(set(rows.lines().tolist()) - {problem.line for problem in problems}),
            tuple(sorted(problems, key=lambda each: each.line)),
            len(rows.labels_only()),
        )
        for path, rows, problems in zip(paths, tables, found, strict=True)
    ]


def _labels_problem(path: Path) -> Iterator[Problem]:
    """What is wrong with the file beside a manifest that says its labels, if there is one."""
    if sidecar(path).exists():
        try:
            label_file.read(path)
        except DataError as error:
            yield Problem(1, "", f"{sidecar(path).name}: {error.got} ({error.fix})")


def leaks(tables: Sequence[Rows]) -> Iterator[tuple[int, Problem]]:
    """A problem for each further split in which an id, a group or the bytes of a medium appear.

    It stands at the first row there, with the number of its table. A row without a split counts
    as of none, but for manifests that have no splits at all and are given together: their names
    are the splits.
    """
    seen: dict[str, dict[object, list[str]]] = {"id": {}, "group": {}}
    media = _Media()
    for number, rows in enumerate(tables):
        whole = rows.table.path.stem if len(tables) > 1 and rows.splits() == ["None"] else None
        for sample, line in zip(rows, rows.lines().tolist(), strict=True):
            split = sample.split or whole
            if split is None:
                continue
            media.add(sample, split, (number, line))
            for what, value in (("id", sample.id), ("group", sample.group)):
                if value is None or (what == "id" and len(tables) == 1):
                    continue  # within a manifest an id is unique anyhow
                splits = seen[what].setdefault(value, [split])
                if split not in splits:
                    splits.append(split)
                    reason = _reason(what, value, splits)
                    yield number, Problem(line, sample.id, reason)
    yield from media.leaks()


def _reason(what: str, value: object, splits: Sequence[str]) -> str:
    return f"{what} leaks between splits: {value!r} is in {splits[0]!r} and in {splits[-1]!r}"


class _Media:
    """The media of rows and the splits they are used in."""

    def __init__(self) -> None:
        self._uses: dict[str, dict[str, tuple[int, int, str]]] = {}

    def add(self, sample: Sample, split: str, place: tuple[int, int]) -> None:
        for value in (value for part in sample.parts for value in part.media.values()):
            where = value if is_url(value) else str(sample.root / value)
            self._uses.setdefault(where, {}).setdefault(split, (*place, sample.id))

    def leaks(self) -> Iterator[tuple[int, Problem]]:
        for names in self._alike():
            splits: list[str] = []
            for name in names:
                for split, (number, line, id) in self._uses[name].items():
                    if split in splits:
                        continue
                    splits.append(split)
                    if len(splits) > 1:
                        reason = _reason("media", Path(names[0]).name, splits)
                        if name != names[0]:
                            reason += f", there as {Path(name).name!r}"
                        yield number, Problem(line, id, reason)

    def _alike(self) -> Iterator[list[str]]:
        """Files of the same bytes. Only those are hashed whose size another split has, too."""
        sizes: dict[object, list[str]] = {}
        for name in self._uses:
            sizes.setdefault(name if is_url(name) else size_of(Path(name)), []).append(name)
        for names in sizes.values():
            if len({split for name in names for split in self._uses[name]}) < 2:
                continue
            if len(names) == 1:
                yield names
                continue
            contents: dict[str, list[str]] = {}
            for name in names:
                try:
                    contents.setdefault(content_hash(Path(name)), []).append(name)
                except DataError:
                    continue  # it is missing, which the row's own problem says
            yield from contents.values()


def _undecodable(tables: Sequence[Rows], workers: int | None) -> Iterator[tuple[int, Problem]]:
    """The media that do not decode, each part that rows are about once, at every row about it."""
    jobs: dict[Job, None] = {}
    for rows in tables:
        for sample in rows:
            jobs |= dict.fromkeys(Job.of(part, kind) for part, kind in _media_of(sample))
    verdicts = decode_all(list(jobs), workers=workers)
    for number, rows in enumerate(tables):
        for sample, line in zip(rows, rows.lines().tolist(), strict=True):
            for part, kind in _media_of(sample):
                reason = verdicts[Job.of(part, kind)]
                if reason is not None:
                    text = f"{kind} cannot be decoded: {reason} ({part.media[kind]})"
                    text = f"clip {part.name}: {text}" if sample.clips else text
                    yield number, Problem(line, sample.id, text)


def _media_of(sample: Sample) -> list[tuple[Sample, str]]:
    """Each medium of a row, or of its clips."""
    return [(part, kind) for part in sample.parts for kind in part.media]


def _kind(reason: str) -> str:
    """A reason without the row's own values: what stands before `:`, `,` or a quotation."""
    reason = re.sub(r"^clip [\w.-]+: ", "", reason)
    for mark in (":", ", got", " (", "'", '"'):
        reason = reason.split(mark)[0]
    return reason.strip()
