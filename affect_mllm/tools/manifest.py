"""`affect-mllm manifest`: a CSV of own clips and the folder they are in → a manifest."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from affect_mllm.data.media_root import elsewhere
from affect_mllm.data.path_check import PathCheck
from affect_mllm.data.problems import Problem, raise_problems
from affect_mllm.data.row_checks import row_problems
from affect_mllm.tools import splits
from affect_mllm.types import DataError

_ENDINGS = {
    "video": ".mp4 .webm .avi .mkv .mov .m4v .mpg .mpeg .flv .ts .wmv .3gp .ogv",
    "audio": ".wav .flac .mp3 .ogg .m4a .aac .opus",
    "image": ".jpg .jpeg .png .bmp .webp .tif .tiff .avif .heic",
}
MEDIUM_OF = {ending: kind for kind, endings in _ENDINGS.items() for ending in endings.split()}

EXCEL = re.compile(r"\"?sep=(.)\"?", re.IGNORECASE)  # a first line that tells it the delimiter
_MEDIA = ("file", "video", "audio", "image")
_TEXTS = ("id", "subtitle", "language", "speaker", "group", "source", "licence")
_TIMES = ("start_s", "end_s")
_NUMBER_LABELS = ("intensity", "valence", "arousal", "dominance")
_TEXT_LABELS = ("description", "intent")
COLUMNS = (*_TEXTS, *_MEDIA, *_TIMES, *_NUMBER_LABELS, *_TEXT_LABELS, "sentiment", "emotions")


@dataclass(frozen=True)
class Layout:
    """How to read a CSV: where its media are, where its manifest will be, two column names."""

    media_root: Path
    out: Path
    emotion_column: str = "emotion"
    split_column: str = "split"

    @property
    def root(self) -> Path:
        """What the manifest's paths start from: its own folder, or the media's elsewhere."""
        return elsewhere(self.media_root, self.out) or self.out.parent


@dataclass
class Table:
    """A CSV as read: rows by line number, with lower-case column names and no empty cells."""

    path: Path
    columns: list[str]
    rows: list[tuple[int, dict[str, str]]]
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class Conversion:
    """Manifest rows made from a CSV, and what the user should know about how they were made."""

    rows: list[dict[str, Any]]
    notes: list[str]


def convert(csv_path: Path, layout: Layout, *, fractions: splits.Fractions) -> Conversion:
    """Manifest rows for a CSV, with a split for each row; nothing is written.

    DataError lists every problem of the CSV with its line: cells, media files, duplicate ids.
    """
    table = read_table(csv_path)
    named = (layout.emotion_column.lower(), layout.split_column.lower())
    notes = _column_notes(table, *named)
    rows = [_row(line, cells, layout, table.problems) for line, cells in table.rows]
    _check(table, rows, layout)
    raise_problems(
        csv_path,
        sorted(table.problems, key=lambda each: each.line),
        fix="correct these lines and make it again, which says what is left",
    )
    if named[1] not in table.columns:
        notes.append(splits.assign(rows, fractions))
    counts = Counter(row["split"] for row in rows)
    notes.append("rows: " + ", ".join(f"{split} {n}" for split, n in sorted(counts.items())))
    return Conversion(rows, notes)


def read_table(path: Path) -> Table:
    """A CSV (comma, semicolon, tab, or as `sep=` says; UTF-8) as a Table, ragged rows its problems.

    DataError when it cannot be read, has no rows, or names a column twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), f"cannot be read: {error}", expected="a UTF-8 CSV") from error
    first = text.partition("\n")[0]
    told = EXCEL.fullmatch(first.rstrip("\r"))
    delimiter = told[1] if told else max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        if told:
            next(reader)
        header = [name.strip().lower() for name in next(reader, [])]
        table = Table(path, header, [])
        for cells in reader:
            _add_row(table, reader.line_num, cells)
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}", f"not CSV: {error}") from error
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    if twice:
        raise DataError(f"{path}:1", f"columns named twice: {', '.join(twice)}")
    if not table.rows and not table.problems:
        raise DataError(str(path), "no rows", expected="a header line and a line for each clip")
    return table


def _add_row(table: Table, line: int, cells: list[str]) -> None:
    if not any(cell.strip() for cell in cells):
        return
    if len(cells) != len(table.columns):
        reason = f"{len(cells)} cells for {len(table.columns)} columns"
        table.problems.append(Problem(line, "", reason))
        return
    stripped = ((name, cell.strip()) for name, cell in zip(table.columns, cells, strict=True))
    table.rows.append((line, {name: cell for name, cell in stripped if cell and name}))


def _column_notes(table: Table, emotion: str, split: str) -> list[str]:
    """What is ignored; DataError when a named column, or every column of content, is missing."""
    for name, default in ((emotion, "emotion"), (split, "split")):
        if name not in table.columns and name != default:
            raise DataError(f"{table.path}:1", f"no column {name!r}", expected=str(table.columns))
    if not {*_MEDIA, "subtitle"} & {*table.columns}:
        expected = f"at least one of {', '.join((*_MEDIA, 'subtitle'))}"
        raise DataError(f"{table.path}:1", f"columns {table.columns}", expected=expected)
    unknown = [name for name in table.columns if name not in {*COLUMNS, emotion, split}]
    notes = [f"ignored columns: {', '.join(map(repr, unknown))}"] if unknown else []
    if emotion not in table.columns:
        notes.append(f"no column {emotion!r}: the rows have no emotion label")
    return notes


def _row(
    line: int, cells: dict[str, str], layout: Layout, problems: list[Problem]
) -> dict[str, Any]:
    id = cells.get("id") or _default_id(line, cells)

    def say(reason: str) -> None:
        problems.append(Problem(line, id, reason))

    row: dict[str, Any] = {"id": id, **_media(cells, layout, say)}
    row |= {name: cells[name] for name in _TEXTS[1:] if name in cells}
    row |= _numbers(cells, _TIMES, say)
    if labels := _labels(cells, layout.emotion_column.lower(), say):
        row["labels"] = labels
    if split := cells.get(layout.split_column.lower()):
        row["split"] = split.lower()
    return row


def _labels(cells: dict[str, str], emotion: str, say: Callable[[str], None]) -> dict[str, Any]:
    labels: dict[str, Any] = {**_numbers(cells, _NUMBER_LABELS, say)}
    labels |= {name: cells[name] for name in _TEXT_LABELS if name in cells}
    if "sentiment" in cells:
        number = _number(cells["sentiment"])
        labels["sentiment"] = cells["sentiment"].lower() if number is None else number
    if "emotions" in cells:
        labels["emotions"] = [
            each.strip().lower() for each in re.split(r"[;|,]", cells["emotions"])
        ]
    if emotion in cells:
        labels["emotion"] = cells[emotion].lower()
    return labels


def _numbers(
    cells: dict[str, str], names: Iterable[str], say: Callable[[str], None]
) -> dict[str, float]:
    numbers = {name: _number(cells[name]) for name in names if name in cells}
    for name, value in numbers.items():
        if value is None:
            say(f"{name} must be a number, got {cells[name]!r}")
    return {name: value for name, value in numbers.items() if value is not None}


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _media(cells: dict[str, str], layout: Layout, say: Callable[[str], None]) -> dict[str, str]:
    """Media kind → path relative to the manifest's folder."""
    found: dict[str, str] = {}
    for column in _MEDIA:
        if column not in cells:
            continue
        kind = MEDIUM_OF.get(Path(cells[column]).suffix.lower()) if column == "file" else column
        if kind is None:
            say(f"file has an unknown ending: {cells[column]} (name the column after the medium)")
        elif kind in found:
            say(f"two files of one kind: {kind}")
        else:
            full = os.path.abspath(layout.media_root / cells[column])
            relative = os.path.relpath(full, os.path.abspath(layout.root))
            found[kind] = Path(relative).as_posix()
    return found


def _default_id(line: int, cells: dict[str, str]) -> str:
    name = next((cells[column] for column in _MEDIA if column in cells), f"line {line}")
    return f"{name}@{cells['start_s']}" if "start_s" in cells else name


def _check(table: Table, rows: Iterable[dict[str, Any]], layout: Layout) -> None:
    """Add to the table's problems everything that reading the manifest would find."""
    paths = PathCheck(layout.root)
    first_line: dict[str, int] = {}
    split_named = layout.split_column.lower() in table.columns
    for (line, _), row in zip(table.rows, rows, strict=True):
        reasons = [*row_problems(row)]
        reasons += [paths.problem(kind, row[kind]) for kind in _MEDIA[1:] if kind in row]
        if first_line.setdefault(row["id"], line) != line:
            reasons.append(f"duplicate id, first used in line {first_line[row['id']]}")
        if split_named and "split" not in row:
            reasons.append("no split in this row, though there is a column for it")
        table.problems += [Problem(line, row["id"], reason) for reason in reasons if reason]


def _check_root(media_root: Path) -> None:
    if not media_root.is_dir():
        raise DataError(str(media_root), "not a folder", fix="give the clips' folder: --media-root")


def manifest_command(
    csv_file: Annotated[Path, typer.Option("--csv", help="One line a clip, with a header.")],
    media_root: Annotated[Path, typer.Option(help="The folder that its file names start from.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The manifest to write (.jsonl or .parquet), anywhere that can be written.",
            show_default="manifest.jsonl in the media folder",
        ),
    ] = None,
    emotion_column: Annotated[str, typer.Option(help="Column of the emotion label.")] = "emotion",
    split_column: Annotated[
        str, typer.Option(help="Column of the split; without it a seeded split is made.")
    ] = "split",
    val_fraction: Annotated[float, typer.Option(min=0, max=1)] = 0.1,
    test_fraction: Annotated[float, typer.Option(min=0, max=1)] = 0.1,
    seed: Annotated[int, typer.Option(help="Of the split.")] = 1,
) -> None:
    """Make a manifest from a CSV and a folder of clips.

    Columns: file (or video, audio, image), id, subtitle, emotion, split, speaker, group and the
    other keys of a manifest row; one of file, video, audio, image, subtitle has to be there.
    Emotions and splits are lower-cased.
    """
    out = out or media_root / "manifest.jsonl"
    _check_root(media_root)
    layout = Layout(media_root, out, emotion_column, split_column)
    fractions = splits.Fractions(val=val_fraction, test=test_fraction, seed=seed)
    result = convert(csv_file, layout, fractions=fractions)
    from affect_mllm.data import manifest  # here, because it imports NumPy

    manifest.write(result.rows, out, media_root=elsewhere(media_root, out))
    for note in result.notes:
        typer.echo(note)
    typer.echo(f"wrote {out}: {len(result.rows)} rows")
