"""What every recipe does with what it read: check, count, print the terms, write the manifest.

A recipe is one script: a `Dataset` (terms, labels, published counts) and a function that reads the
publisher's folder and yields an `Entry` for each row. Media stay where they are.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from readers.words import of_words

from affect_mllm.data import label_file, manifest
from affect_mllm.data.label_space import Label, described, kind_of
from affect_mllm.data.media_root import elsewhere
from affect_mllm.data.path_check import PathCheck
from affect_mllm.data.row_checks import parts_of, row_problems, values_outside
from affect_mllm.types import MEDIA_FIELDS, ConfigError, DataError

SUBSET_FLAG = "--allow-count-mismatch"
PLACEHOLDERS = 10  # rows of a test split from which on one label for all is no coincidence


@dataclass(frozen=True)
class Dataset:
    """A dataset's terms, label spaces and published counts, with where they are published.

    `labels`: label key → allowed values (of every item, where a label is a list). `counts`: split
    or `total` → rows. `classes`: label key → value → rows over all splits, where that is published.
    `own`: label key → scale of a number, or None, of labels that only a file beside the manifest
    makes known (`data/label_file.py`).
    """

    name: str
    title: str
    licence: str
    access: str
    source: str
    counts: Mapping[str, int]
    labels: Mapping[str, Collection[str]] = field(default_factory=dict)
    classes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    own: Mapping[str, tuple[float, float] | None] = field(default_factory=dict)


@dataclass
class Entry:
    """One row in the making: its media are absolute paths, and it knows where it was read."""

    row: dict[str, Any]
    path: Path
    line: int

    @property
    def where(self) -> str:
        """`file:line [id]`, as messages name a row."""
        return f"{self.path}:{self.line}: [{self.row['id']}]"


@dataclass
class Inputs:
    """Where a recipe reads, and what the user should know about how it read (`notes`).

    `folder` has the annotations, `media_root` the media, in the publisher's layout below each.
    `subset`: only a part of the dataset is there, counts are free. `labels_only`: media are not
    looked for, and the rows name none; `words_only`: nor are they, and rows are what is said.
    """

    folder: Path
    media_root: Path
    subset: bool = False
    notes: list[str] = field(default_factory=list)
    labels_only: bool = False
    words_only: bool = False

    def splits(self, files: Mapping[str, Path]) -> list[str]:
        """The splits to read, of those that have a file or folder each.

        All of them, except that a subset may lack some, which is noted; DataError if it lacks all.
        """
        if not self.subset:
            return list(files)
        there = [split for split, path in files.items() if path.exists()]
        if not there:
            looked = ", ".join(str(path.relative_to(self.folder)) for path in files.values())
            raise DataError(str(self.folder), "no split of the dataset", expected=looked)
        if absent := [split for split in files if split not in there]:
            self.notes.append(f"not there, and left out: {', '.join(absent)}")
        return there

    def media_folder(self, *names: str) -> Path:
        """The first of the folders `names` below `media_root` that is there.

        DataError if none is; of a subset the first name, whose rows are then left out, and of
        labels alone, for which nothing looks into it.
        """
        for name in names:
            if (self.media_root / name).is_dir():
                return self.media_root / name
        if self.subset or self.labels_only:
            return self.media_root / names[0]
        raise DataError(
            str(self.media_root),
            f"no folder {' or '.join(map(repr, names))} in it",
            fix="give the folder that has it as --media-root, with its archives unpacked; for a "
            f"part of the dataset: {SUBSET_FLAG}",
        )


Rows = Callable[[Inputs], Iterable[Entry]]


def make(dataset: Dataset, rows: Rows, inputs: Inputs, out: Path) -> list[dict[str, Any]]:
    """Read, check, write; the rows that were written.

    ConfigError for a folder that is not there or an output beside the media; DataError for
    everything that is wrong with the publisher's files, or other counts than the published ones.
    """
    for folder in (inputs.folder, inputs.media_root):
        if not folder.is_dir():
            raise ConfigError("FOLDER", f"{folder} is no folder", expected="the unpacked dataset")
    entries = list(rows(inputs))
    inputs.notes += [*_without_placeholders(entries), *_shared_groups(entries)]
    for entry in entries:
        _finish(entry, dataset)
    media = None
    if inputs.labels_only:
        _without_media(entries, inputs)
    else:
        root = _relative_media(entries, inputs.media_root, out)
        entries, media = _with_media(entries, inputs, root), elsewhere(root, out)
    check_entries(entries, dataset)
    made = [entry.row for entry in entries]
    if not inputs.subset:
        check_counts(dataset, made)
    if inputs.words_only:
        made, note = of_words(made)
        inputs.notes.append(note)
    manifest.write(made, out, media_root=media)
    if dataset.own:
        label_file.write(out, dict(_own(dataset.own, made)))
    return made


def _own(
    own: Mapping[str, tuple[float, float] | None], rows: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, Label]]:
    """What the file beside the manifest says of each label that some row has."""
    rows = list(rows)
    for key, scale in own.items():
        found = [(row.get("split", ""), row["labels"][key]) for row in rows if key in row["labels"]]
        kind = kind_of([value for _, value in found]) if found else None
        if kind is not None:
            yield key, described(kind, found, scale=scale)


def check_entries(entries: Iterable[Entry], dataset: Dataset) -> None:
    """DataError listing every row that no manifest may have, by the publisher's file and line."""
    problems: list[str] = []
    first: dict[str, Entry] = {}
    for entry in entries:
        problems += [f"{entry.where} {reason}" for reason in _reasons(entry.row, dataset)]
        earlier = first.setdefault(entry.row["id"], entry)
        if earlier is not entry:
            problems.append(f"{entry.where} the id is used before in {earlier.path}:{earlier.line}")
    _raise_all(dataset.name, problems, fix="fetch the file again, or mend these rows")


def check_counts(dataset: Dataset, rows: Iterable[Mapping[str, Any]]) -> None:
    """DataError naming each split and class whose number of rows is not the published one."""
    rows = list(rows)
    splits = split_counts(rows)
    found = {**splits, "total": len(rows)}
    expected = dict(dataset.counts)
    for key, classes in dataset.classes.items():
        expected |= {f"{key} {value}": count for value, count in classes.items()}
        found |= {
            f"{key} {value}": count
            for value, count in Counter(row["labels"].get(key) for row in rows).items()
        }
    wrong = [
        f"{name}: found {found.get(name, 0)}, published {count}"
        for name, count in expected.items()
        if found.get(name, 0) != count
    ]
    if dataset.counts.keys() - {"total"}:
        wrong += [
            f"{split}: found {count}, not a published split"
            for split, count in splits.items()
            if split not in dataset.counts
        ]
    if wrong:
        raise DataError(
            dataset.name,
            "; ".join(wrong),
            expected=f"the counts of {dataset.source}",
            fix=f"complete the download; for a part of the dataset: {SUBSET_FLAG}",
        )


def split_counts(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Rows of each split; rows without one are counted as `all`."""
    return dict(Counter(row.get("split", "all") for row in rows))


def _without_placeholders(entries: Iterable[Entry]) -> Iterator[str]:
    """Take the emotion out of a test split in which all are neutral, and say so.

    MERTools' preprocessing writes `neutral` where a challenge kept its labels secret
    (zeroQiaoba/MERTools@89120b7, MER2024/toolkit/preprocess).
    """
    splits: dict[str, list[Entry]] = {}
    for entry in entries:
        if "emotion" in entry.row.get("labels", {}):
            splits.setdefault(entry.row.get("split", ""), []).append(entry)
    for split, members in splits.items():
        words = {entry.row["labels"]["emotion"] for entry in members}
        if split.startswith("test") and words == {"neutral"} and len(members) >= PLACEHOLDERS:
            for entry in members:
                labels = entry.row["labels"].items()
                entry.row["labels"] = {key: value for key, value in labels if key != "emotion"}
            yield (
                f"{split}: all {len(members)} labels are neutral, which is written where labels "
                "were kept secret: these rows have no emotion and are not scored"
            )


def _shared_groups(entries: Iterable[Entry]) -> Iterator[str]:
    splits: dict[str, set[str]] = {}
    for entry in entries:
        if "group" in entry.row:
            splits.setdefault(entry.row["group"], set()).add(entry.row.get("split", ""))
    if shared := sum(len(each) > 1 for each in splits.values()):
        yield (
            f"the publisher's split puts rows of {shared} dialogues or source media into several "
            "splits; `affect-mllm validate` reports each"
        )


def _finish(entry: Entry, dataset: Dataset) -> None:
    """Terms into the row; what is empty out of it: an absent key says that it is not known."""
    entry.row |= {"source": dataset.name, "licence": dataset.licence}
    entry.row = {key: value for key, value in entry.row.items() if value not in ("", None, {}, [])}


def _without_media(entries: list[Entry], inputs: Inputs) -> None:
    """Rows to score answers by: they name no media, which nobody has looked for."""
    if not entries:
        raise DataError(
            str(inputs.folder),
            "no row: the names of its files are the labels",
            fix="unpack the media there, and leave out --labels-only",
        )
    for entry in entries:
        seen = {*MEDIA_FIELDS, "clips"}
        entry.row = {key: value for key, value in entry.row.items() if key not in seen}
        entry.row["labels_only"] = True
    if not inputs.words_only:
        inputs.notes.append(
            "labels only: no media were looked for; the rows can be scored, no more"
        )


def _relative_media(entries: Iterable[Entry], media_root: Path, out: Path) -> Path:
    """Make the media's paths relative to the folder that is returned."""
    given = elsewhere(media_root, out) or out.parent
    root = os.path.abspath(given)
    for part in (part for entry in entries for part in _parts(entry.row)):
        for kind in MEDIA_FIELDS:
            if kind in part:
                full = os.path.abspath(part[kind])
                if not full.startswith(root.rstrip(os.sep) + os.sep):
                    raise ConfigError(
                        "--media-root",
                        f"{full} does not lie below {given}",
                        expected="a folder that all media lie in",
                        fix="give --media-root DIR, a folder above all media",
                    )
                part[kind] = Path(os.path.relpath(full, root)).as_posix()
    return given


def _with_media(entries: list[Entry], inputs: Inputs, root: Path) -> list[Entry]:
    """The entries whose media are there; any that is not is an error, or left out of a subset."""
    check = PathCheck(root)
    bad = [(entry, reason) for entry in entries for reason in _media_problems(entry, check)]
    missing = {entry.row["id"] for entry, reason in bad if " is missing: " in reason}
    if inputs.subset:
        bad = [(entry, reason) for entry, reason in bad if entry.row["id"] not in missing]
        if missing:
            inputs.notes.append(f"{len(missing)} rows left out, whose media are not there")
    fix = f"complete the download; for a part of the dataset: {SUBSET_FLAG}"
    _raise_all(str(inputs.media_root), [f"{e.where} {reason}" for e, reason in bad], fix=fix)
    kept = [entry for entry in entries if entry.row["id"] not in missing]
    if not kept:
        raise DataError(str(inputs.media_root), "no row has its media", fix=f"see {SUBSET_FLAG}")
    return kept


def _media_problems(entry: Entry, check: PathCheck) -> Iterator[str]:
    for whose, part in parts_of(entry.row):
        for kind in MEDIA_FIELDS:
            if kind in part:
                reason = check.problem(kind, part[kind])
                if reason is not None:
                    yield whose + reason


def _parts(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The row, and its clips."""
    return [row, *row.get("clips", [])]


def _reasons(row: Mapping[str, Any], dataset: Dataset) -> Iterator[str]:
    yield from row_problems(row)
    for key, allowed in dataset.labels.items():
        value = row.get("labels", {}).get(key, [])
        for wrong in values_outside(value, allowed):
            yield f"{key} {wrong!r} is none of {', '.join(sorted(allowed))}"


def _raise_all(where: str, problems: list[str], *, fix: str) -> None:
    shown = manifest.PROBLEMS_SHOWN
    if problems:
        more = [f"and {len(problems) - shown} more"] if len(problems) > shown else []
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise DataError(where, "\n    ".join([count, *problems[:shown], *more]), fix=fix)
