"""`affect-mllm manifest`: a CSV of own clips or texts → a manifest, and what labels it has."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from affect_mllm.data.label_space import LabelSpace
from affect_mllm.data.media_root import elsewhere
from affect_mllm.data.path_check import PathCheck
from affect_mllm.data.problems import Problem, raise_problems
from affect_mllm.data.row_checks import row_problems
from affect_mllm.tools import label_notes, splits
from affect_mllm.tools.label_columns import Column, columns, number_of, unscaled, with_kinds
from affect_mllm.tools.table import Table, read_table
from affect_mllm.types import DataError

_ENDINGS = {
    "video": ".mp4 .webm .avi .mkv .mov .m4v .mpg .mpeg .flv .ts .mts .m2ts .wmv .3gp .ogv",
    "audio": ".wav .flac .mp3 .ogg .oga .m4a .aac .opus .amr .caf .aif .aiff .wma .mka",
    "image": ".jpg .jpeg .png .bmp .webp .tif .tiff .avif .heic .heif",
}
MEDIUM_OF = {ending: kind for kind, endings in _ENDINGS.items() for ending in endings.split()}

_MEDIA = ("file", "video", "audio", "image")
_TEXTS = ("id", "subtitle", "language", "speaker", "group", "source", "licence")
_TIMES = ("start_s", "end_s")
COLUMNS = (*_TEXTS, *_MEDIA, *_TIMES)  # beside labels


@dataclass(frozen=True)
class Layout:
    """How to read a CSV: where its media are, where its manifest will be, which columns it has.

    `labels` and `scales` are as `label_columns.columns` takes them.
    """

    media_root: Path
    out: Path
    emotion_column: str = "emotion"
    split_column: str = "split"
    labels: Sequence[str] = ()
    scales: Sequence[str] = ()

    @property
    def root(self) -> Path:
        """What the manifest's paths start from: its own folder, or the media's elsewhere."""
        return elsewhere(self.media_root, self.out) or self.out.parent


@dataclass(frozen=True)
class Conversion:
    """Manifest rows made from a CSV, and what the user should know about how they were made."""

    rows: list[dict[str, Any]]
    labels: LabelSpace
    notes: list[str]


def convert(csv_path: Path, layout: Layout, *, fractions: splits.Fractions) -> Conversion:
    """Manifest rows for a CSV, with a split for each row; nothing is written.

    DataError lists every problem of the CSV with its line: cells, media files, duplicate ids.
    """
    table = read_table(csv_path)
    columns, notes = _columns(table, layout)
    labels = with_kinds(columns, table.cells())
    rows = [_row(line, cells, layout, labels, table.problems) for line, cells in table.rows]
    _check(table, rows, layout)
    _check_scales(table, labels)
    raise_problems(
        csv_path,
        sorted(table.problems, key=lambda each: each.line),
        fix="correct these lines and make it again, which says what is left",
    )
    if layout.split_column.lower() not in table.columns:
        notes.append(splits.assign(rows, fractions))
    counts = Counter(row["split"] for row in rows)
    notes.append("rows: " + ", ".join(f"{split} {n}" for split, n in sorted(counts.items())))
    space, more = _space(labels, rows)
    return Conversion(rows, space, [*notes, *more, *label_notes.notes(space, rows=counts)])


def _space(
    labels: Sequence[Column], rows: Sequence[dict[str, Any]]
) -> tuple[LabelSpace, Iterator[str]]:
    """What labels the rows have, and a line for each column that is nothing to ask for."""
    found: LabelSpace = {}
    mixed = []
    for column in labels:
        key = column.key
        values = [(r["split"], r["labels"][key]) for r in rows if key in r.get("labels", {})]
        try:
            label = column.label(values)
        except DataError as error:
            fix = f"say its scale, --scale {key}=LOW:HIGH, or leave it out"
            raise DataError(column.name, error.got, expected=error.expected, fix=fix) from error
        if label is None:
            mixed.append(key)
        else:
            found[key] = label
    said = "kept, but not asked for: it has numbers and words"
    return found, (f"{key}: {said}" for key in mixed)


def _columns(table: Table, layout: Layout) -> tuple[list[Column], list[str]]:
    """The label columns, and what is ignored.

    DataError when a named column, or every column of content, is missing.
    """
    if "text" in table.columns and "subtitle" not in table.columns:
        table.rename("text", "subtitle")
    emotion, split = layout.emotion_column.lower(), layout.split_column.lower()
    named = columns(layout.labels, layout.scales, emotion=emotion)
    told = [each.name for each in named] if layout.labels else [emotion] * (emotion != "emotion")
    for name in [*told, *([split] if split != "split" else [])]:
        if name not in table.columns:
            raise DataError(f"{table.path}:1", f"no column {name!r}", expected=str(table.columns))
    if not {*_MEDIA, "subtitle"} & {*table.columns}:
        expected = f"at least one of {', '.join((*_MEDIA, 'subtitle'))}"
        raise DataError(f"{table.path}:1", f"columns {table.columns}", expected=expected)
    used = {*COLUMNS, split, *(column.name for column in named)}
    unknown = [name for name in table.columns if name not in used]
    hint = " (a label? --label NAME)"
    notes = [f"ignored columns: {', '.join(map(repr, unknown))}{hint}"] if unknown else []
    if not {column.name for column in named} & {*table.columns}:
        notes.append("no column is a label: the rows have none (--label NAME names one)")
    return named, notes


def _check_scales(table: Table, labels: Sequence[Column]) -> None:
    cells = table.cells()
    said = (unscaled(column, cells[column.name]) for column in labels)
    table.problems += [Problem(1, "", reason) for reason in said if reason is not None]


def _row(
    line: int,
    cells: dict[str, str],
    layout: Layout,
    labels: Sequence[Column],
    problems: list[Problem],
) -> dict[str, Any]:
    id = cells.get("id") or _default_id(line, cells)

    def say(reason: str) -> None:
        problems.append(Problem(line, id, reason))

    row: dict[str, Any] = {"id": id, **_media(cells, layout, say)}
    row |= {name: cells[name] for name in _TEXTS[1:] if name in cells}
    row |= _times(cells, say)
    found = {c.key: c.value(cells[c.name], say) for c in labels if c.name in cells}
    if found := {key: value for key, value in found.items() if value is not None}:
        row["labels"] = found
    if split := cells.get(layout.split_column.lower()):
        row["split"] = split.lower()
    return row


def _times(cells: dict[str, str], say: Callable[[str], None]) -> dict[str, float]:
    numbers = {name: number_of(cells[name]) for name in _TIMES if name in cells}
    for name, value in numbers.items():
        if value is None:
            say(f"{name} must be a number, got {cells[name]!r}")
    return {name: value for name, value in numbers.items() if value is not None}


def _media(cells: dict[str, str], layout: Layout, say: Callable[[str], None]) -> dict[str, str]:
    """Media kind → path relative to the manifest's folder."""
    found: dict[str, str] = {}
    for column in _MEDIA:
        if column not in cells:
            continue
        kind = MEDIUM_OF.get(Path(cells[column]).suffix.lower()) if column == "file" else column
        if kind is None:
            say(
                f"file has an unknown ending: {cells[column]} (put it into a column named after "
                "its medium: video, audio or image)"
            )
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
    named = {column for column in _MEDIA if column in table.columns}
    for (line, cells), row in zip(table.rows, rows, strict=True):
        # A medium that was named, and refused above, is not also said to be lacking.
        reasons = [*row_problems(row, media=not named & {*cells})]
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
    media_root: Annotated[
        Path | None,
        typer.Option(help="The folder that file names start from.", show_default="the CSV's"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The manifest to write (.jsonl or .parquet), anywhere that can be written.",
            show_default="manifest.jsonl in the media folder",
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="A label column; again for each. COLUMN=NAME renames it; :classes, :list, "
            ":number or :text says what it is.",
            show_default="those with a label's own name",
        ),
    ] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option(
            help="The scale of a number, LABEL=LOW:HIGH; valence and its like are mapped."
        ),
    ] = None,
    *,
    emotion_column: Annotated[str, typer.Option(help="Column of the emotion label.")] = "emotion",
    split_column: Annotated[
        str, typer.Option(help="Column of the split; without it a seeded split is made.")
    ] = "split",
    val_fraction: Annotated[float, typer.Option(min=0, max=1)] = 0.1,
    test_fraction: Annotated[float, typer.Option(min=0, max=1)] = 0.1,
    seed: Annotated[int, typer.Option(help="Of the split.")] = 1,
) -> None:
    """Make a manifest from a CSV, of clips in a folder or of texts, and say what labels it has.

    Columns: file (or video, audio, image), id, subtitle (or text), split, speaker, group and the
    other keys of a manifest row; one of file, video, audio, image, subtitle has to be there.
    Labels are emotion, emotions, sentiment, intensity, valence, arousal, dominance, description,
    intent, or what --label names. Classes and splits are lower-cased. What labels there are is
    printed and kept beside the manifest (NAME.labels.json): experiment=own_clips asks for them.
    """
    media_root = media_root or csv_file.parent
    out = out or media_root / "manifest.jsonl"
    _check_root(media_root)
    layout = Layout(media_root, out, emotion_column, split_column, label or (), scale or ())
    fractions = splits.Fractions(val=val_fraction, test=test_fraction, seed=seed)
    result = convert(csv_file, layout, fractions=fractions)
    from affect_mllm.data import label_file, manifest  # here, because they import NumPy

    manifest.write(result.rows, out, media_root=elsewhere(media_root, out))
    for note in result.notes:
        typer.echo(note)
    typer.echo(f"wrote {out}: {len(result.rows)} rows")
    if result.labels:
        typer.echo(f"wrote {label_file.write(out, result.labels)}: what labels they have")
