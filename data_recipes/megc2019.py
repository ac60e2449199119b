"""MEGC2019's composite of micro-expressions → manifest: `python data_recipes/megc2019.py FOLDER`.

FOLDER has the composite's table, `combined_3class_gt.csv` (dataset, subject, clip, class; no
header) or a copy with a header whose first columns are these; class 0 is negative, 1 positive, 2
surprise. A clip's frames are the folder of its name below one of its subject's name, wherever
below `--media-root`: CASME II and SAMM have 200 pictures a second, SMIC-HS 100. `--held-out
casme2/sub01` makes that subject `test` and all others `train`; without it all rows are `test`,
by which pooled predictions are scored. Where the workbooks of CASME II and SAMM lie in FOLDER
(`*.xlsx`: Subject, Filename, and Onset, Apex and Offset with or without Frame), a clip is cut
from onset to offset and `peak_s` is its apex, found by the numbers in its pictures' names; SMIC
has none. Format: wangzhifengharrison/HTNet@91cf4bda, and readers of the workbooks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from commandline import Folder, Plan, command
from readers.tables import Line, lines_of, read_columns, sheet
from recipe import Dataset, Entry, Inputs

from affect_mllm.media.folder import entries
from affect_mllm.media.pictures import picture_files
from affect_mllm.types import ConfigError, DataError

FPS = {"casme2": 200.0, "samm": 200.0, "smic": 100.0}
CLASSES = ("negative", "positive", "surprise")
COLUMNS = ("dataset", "subject", "clip", "class")
FILES = ("combined_3class_gt.csv", "combined_3_class2_for_optical_flow.csv")
MARKS = ("onset", "apex", "offset")
Coded = dict[tuple[int, str], dict[str, int]]  # subject and clip → frame numbers of MARKS
COUNTS = {"casme2": 145, "samm": 133, "smic": 164}


def dataset(held_out: str | None) -> Dataset:
    """The terms and counts: 442 clips of 68 subjects."""
    counts = {"test": 442} if held_out is None else {"total": 442}
    return Dataset(
        name="megc2019",
        title="MEGC2019, composite (CASME II, SAMM, SMIC-HS; frames; three micro-expressions)",
        licence="each set's own agreement, research only",
        access="request at CASME II, SAMM and SMIC; table: https://facial-micro-expressiongc.github.io",
        source="See et al. 2019, FG (MEGC 2019); counts: christy1206/STSTNet@1afb56e",
        counts=counts,
        labels={"emotion": CLASSES},
        classes={
            "set": COUNTS,
            "emotion": {"negative": 250, "positive": 109, "surprise": 83},
        },
    )


def plan(
    folder: Folder,
    held_out: Annotated[
        str | None, typer.Option(help="A subject to test on, such as casme2/sub01.")
    ] = None,
) -> Plan:
    """Make a manifest of MEGC2019's composite database."""
    name = "" if held_out is None else held_out.replace("/", "-")
    return Plan(dataset(held_out), partial(rows, held_out=held_out), name)


def rows(inputs: Inputs, *, held_out: str | None) -> Iterator[Entry]:
    """A row for each clip."""
    path = next((p for p in (inputs.folder / n for n in FILES) if p.is_file()), None)
    path = path or inputs.folder / FILES[0]
    lines = _lines(path)
    subjects = {_subject(line) for line in lines}
    if held_out is not None and held_out not in subjects:
        raise ConfigError("--held-out", repr(held_out), expected=f"one of {sorted(subjects)}")
    folders = {} if inputs.labels_only else _folders(inputs.media_root, subjects)
    coded = _coded(inputs)
    for line in lines:
        subject, clip, number = _subject(line), line.text("clip"), line.text("class")
        if number not in ("0", "1", "2"):
            raise DataError(line.where, f"class {number!r}", expected="0, 1 or 2")
        name = subject.partition("/")[2]
        row: dict[str, Any] = {
            "id": f"{subject}/{clip}",
            "frames": folders.get((name, clip), inputs.media_root / name / clip),
            "frames_fps": FPS[line.text("dataset")],
            "speaker": subject,
            "group": subject,
            "split": "test" if held_out in (None, subject) else "train",
            "labels": {"emotion": CLASSES[int(number)], "set": line.text("dataset")},
        }
        marks = coded.get((_number(name), clip), {})
        row["labels"] |= {f"{mark}_frame": frame for mark, frame in marks.items()}
        if (name, clip) in folders:
            row |= _times(folders[name, clip], marks, row["frames_fps"])
        yield Entry(row, line.path, line.number)


def _lines(path: Path) -> list[Line]:
    """The table's rows, without a header where there is one."""
    width = max((text.count(",") for _, text in lines_of(path)), default=0)
    columns = [*COLUMNS, "rest"] if width >= len(COLUMNS) else list(COLUMNS)
    lines = [
        line
        for line in read_columns(path, columns, delimiter=",")
        if line.cells["dataset"] != "dataset"
    ]
    for line in lines:
        if line.text("dataset") not in FPS:
            raise DataError(line.where, f"dataset {line.text('dataset')!r}", expected="casme2, …")
    return lines


def _coded(inputs: Inputs) -> Coded:
    """The frames of onset, apex and offset in the workbooks that there are; "/" is none."""
    found: Coded = {}
    for path in (path for path in entries(inputs.folder) if path.suffix == ".xlsx"):
        rows = [(number, cells) for number, cells in enumerate(sheet(path), start=1)]
        names = [[_plain(cell) for cell in cells] for _, cells in rows]
        head = next((at for at, each in enumerate(names) if {"filename", "apex"} <= {*each}), None)
        if head is None:
            inputs.notes.append(f"{path.name} has no columns Filename and Apex, and is not read")
            continue
        for number, cells in rows[head + 1 :]:
            row = dict(zip(names[head], cells, strict=False))
            if not row.get("filename"):
                continue
            if not re.search(r"\d", row.get("subject", "")):
                raise DataError(f"{path}:{number}", f"Subject {row.get('subject')!r}")
            marks = {mark: int(float(row[mark])) for mark in MARKS if _is_number(row.get(mark))}
            found[_number(row["subject"]), row["filename"]] = marks
    return found


def _plain(header: str) -> str:
    """`apex` of Apex, ApexFrame and Apex Frame."""
    return re.sub(r"[\s_]|frame", "", header.lower())


def _is_number(cell: str | None) -> bool:
    return re.fullmatch(r"\d+(\.0+)?", cell or "") is not None


def _number(text: str) -> int:
    """The number in a subject's name: 1 of sub01, 6 of 006."""
    return int("".join(re.findall(r"\d", text.removesuffix(".0"))) or -1)


def _times(folder: Path, marks: dict[str, int], fps: float) -> dict[str, float]:
    """The part from onset to offset and when its apex is, as far as their pictures are there."""
    names = [path.stem for path in picture_files(folder)]
    places = {int(n[-1]): at for at, name in enumerate(names) if (n := re.findall(r"\d+", name))}
    onset, apex, offset = (places.get(marks.get(mark, -1)) for mark in MARKS)
    found = {}
    if onset is not None and offset is not None and onset < offset:
        found = {"start_s": round(onset / fps, 4), "end_s": round((offset + 1) / fps, 4)}
    if apex is not None:
        found["peak_s"] = round(apex / fps, 4)
    return found


def _subject(line: Line) -> str:
    return f"{line.text('dataset')}/{line.text('subject')}"


def _folders(root: Path, subjects: set[str]) -> dict[tuple[str, str], Path]:
    """Subject and clip → the folder of its frames."""
    names = {subject.partition("/")[2] for subject in subjects}
    found: dict[tuple[str, str], Path] = {}
    for place, inner, _ in os.walk(root):
        above = names & set(Path(place).relative_to(root).parts)
        for clip in inner:
            for name in above:
                found.setdefault((name, clip), Path(place) / clip)
    return found


DATASETS = {"pooled": dataset(None)}
APP = command(plan)

if __name__ == "__main__":
    APP()
