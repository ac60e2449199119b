"""Answers as other tools write them: tables, and the files of lmms-eval, VLMEvalKit and OpenAI.

lmms-eval@75571cf logs `*_samples_TASK.jsonl` with `doc_id` and `resps` (a list for each request);
VLMEvalKit@e8e78f0 writes `MODEL_DATASET.xlsx` (or .tsv) with `index` and `prediction`; a batch of
OpenAI's API comes back as JSON lines with `custom_id` and `response.body`.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from affect_mllm.media.refusals import no_parquet, unlike, unreadable
from affect_mllm.types import ConfigError, DataError

PLAIN = (".csv", ".tsv", ".xlsx")  # tables whose cells hold no lists
TABLES = (*PLAIN, ".parquet")
_CELL = 1 << 27  # characters of a cell; the csv module's own limit is shorter than some traces
_FIELD = re.compile(r"\{([^{}]+)\}")
_WIDTH = re.compile(r"(.?[<>^])?[0-9]+")
_TEXTS = ("finish_reason", "prompt_hash", "checkpoint", "extraction")
_CELLS = ("id", "response", "confidence", *_TEXTS)
Placed = tuple[str, "dict[str, Any] | str"]
Numbered = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class Form:
    """Where a row says which sample it is about and what was answered.

    Keys may go down: `response.body.choices.0.message.content`. `id_template` makes the manifest's
    id of the row's keys (`test_dia{Dialogue_ID}_utt{Utterance_ID}`); `{id}` is what `id_key` says,
    `{id:stem}` a file's name without folders and ending, `{id:0>5}` at least five characters wide
    (as Python's `format` fills them up), `{id:$_$=_}` has `_` for each `$_$`. `failed`: a key that
    has something where there is no answer; such a row is left out. `others`: whether the row's
    other keys are those of our predictions.
    """

    id_key: str = "id"
    response_key: str = "response"
    id_template: str = "{id}"
    finish_key: str = "finish_reason"
    failed: str = ""
    others: bool = True


FORMS = {
    "ours": Form(),
    "lmms-eval": Form("doc_id", "resps.0.0", others=False),
    "vlmevalkit": Form("index", "prediction", others=False),
    "openai-batch": Form(
        "custom_id",
        "response.body.choices.0.message.content",
        finish_key="response.body.choices.0.finish_reason",
        failed="error",
        others=False,
    ),
}


def form_of(
    name: str = "ours",
    *,
    id_key: str | None = None,
    response_key: str | None = None,
    id_template: str | None = None,
) -> Form:
    """The form `name` with other keys where they are given; ConfigError if there is none such."""
    if name not in FORMS:
        raise ConfigError("--form", repr(name), expected=f"one of {', '.join(FORMS)}")
    told = {"id_key": id_key, "response_key": response_key, "id_template": id_template}
    return replace(FORMS[name], **{key: value for key, value in told.items() if value is not None})


def matching(path: Path, form: Form, known: Collection[str], templates: Sequence[str]) -> Form:
    """`form`, or what it is with the one of `templates` that makes ids of `known` of the file's.

    Ids that are known as they stand come first. DataError where the file could be read in several
    ways that differ: by several templates, or where a template fits and some ids as they stand.
    """
    rows = [(place, row) for place, row in _read(path) if not isinstance(row, str)]
    rows = [(place, row) for place, row in rows if not form.failed or not _at(row, form.failed)]
    ways = ["{id}", *templates]
    found = {way: [_known_id(row, replace(form, id_template=way), known) for _, row in rows]
             for way in ways}  # fmt: skip
    found = {way: ids for way, ids in found.items() if any(ids)}
    if not found or all(found.get("{id}", [None])):
        return form
    for at, ids in enumerate(zip(*found.values(), strict=True)):
        if len({*ids}) > 1:
            told = ", ".join(f"{way} → {id or 'none'}" for way, id in zip(found, ids, strict=True))
            raise DataError(
                rows[at][0],
                f"ids of the manifest by several templates: {told}",
                fix="say by --id-template which one it is",
            )
    return replace(form, id_template=next(iter(found)))


def _known_id(row: Mapping[str, Any], form: Form, known: Collection[str]) -> str | None:
    try:
        made = _made_id(row, form)
    except KeyError:
        return None
    return made if made in known else None


def placed_rows(path: Path, form: Form) -> Iterator[Placed]:
    """`FILE:LINE` and the prediction's row, or the sentence that says why there is none.

    Of tables the line counts rows, a header being the first. Rows that `form` calls failed are
    left out. DataError for a file that cannot be read.
    """
    for place, row in _read(path):
        if isinstance(row, str):
            yield place, row
        elif not form.failed or not _at(row, form.failed):
            yield place, _ours(row, form, plain=path.suffix.lower() in PLAIN)


def _read(path: Path) -> Iterator[Placed]:
    ending = path.suffix.lower()
    try:
        if ending not in TABLES:
            yield from _json_lines(path)
        else:
            reader = {".parquet": _parquet, ".xlsx": _workbook}.get(ending, _delimited)
            yield from ((f"{path}:{number}", row) for number, row in reader(path))
    except OSError as error:
        raise unreadable(path, error) from error


def _json_lines(path: Path) -> Iterator[Placed]:
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            yield place, f"not JSON ({error})"
            continue
        yield place, row if isinstance(row, dict) else f"not an object but {type(row).__name__}"


def _delimited(path: Path) -> Iterator[Numbered]:
    csv.field_size_limit(_CELL)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
            yield from _named([*csv.reader(file, delimiter=delimiter, strict=True)], path)
    except (csv.Error, UnicodeDecodeError) as error:
        raise unlike(path, "a table", error) from error


def _workbook(path: Path) -> Iterator[Numbered]:
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        rows = [*book.worksheets[0].iter_rows(values_only=True)]
    except OSError:
        raise
    except Exception as error:  # whatever openpyxl, zipfile and the XML parser raise
        raise unlike(path, "XLSX", error) from error
    yield from _named([["" if cell is None else cell for cell in row] for row in rows], path)


def _named(rows: list[Sequence[Any]], path: Path) -> Iterator[Numbered]:
    """The rows below the header by its names. DataError for a row that is longer or shorter."""
    header = [str(name) for name in rows[0]] if rows else []
    for number, row in enumerate(rows[1:], start=2):
        if not any(str(cell) for cell in row):
            continue
        if len(row) != len(header):
            got = f"{len(row)} cells under {len(header)} names"
            raise DataError(f"{path}:{number}", got, expected="a cell for each column")
        yield number, dict(zip(header, row, strict=True))


def _parquet(path: Path) -> Iterator[Numbered]:
    import pyarrow
    import pyarrow.parquet

    try:
        for number, row in enumerate(pyarrow.parquet.read_table(path).to_pylist(), start=1):
            yield number, {key: value for key, value in row.items() if value is not None}
    except (pyarrow.ArrowException, OSError) as error:
        raise no_parquet(path, error) from error


def _ours(row: Mapping[str, Any], form: Form, *, plain: bool) -> dict[str, Any] | str:
    """The row with our keys, those that `form` names among them; or what it lacks."""
    made = {key: row[key] for key in row if form.others and (not plain or key in _CELLS)}
    there = f"(keys: {', '.join(row)})"
    try:
        made["id"] = _made_id(row, form)
    except KeyError as error:
        return f"no {error.args[0]} {there}; --id-key names another"
    if form.response_key != "response" or plain:
        response = _at(row, form.response_key)
        if response is None:
            return f"no {form.response_key} {there}; --response-key names another"
        made["response"] = str(response)
    if not form.others and (reason := _at(row, form.finish_key)) is not None:
        made["finish_reason"] = reason
    return _without_empty(made) if plain else made


def _made_id(row: Mapping[str, Any], form: Form) -> str:
    return _FIELD.sub(lambda field: _id(row, field[1], form), form.id_template)


def _id(row: Mapping[str, Any], name: str, form: Form) -> str:
    """What stands in the id for `{name}`: text, or a whole number as it is written."""
    name, *shapes = name.split(":")
    key = form.id_key if name == "id" else name
    value = _at(row, key)
    if isinstance(value, float) and value.is_integer():  # a column of numbers with a gap in it
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise KeyError(f"{key} (text or a whole number)")
    text = str(value)
    for shape in shapes:
        text = PurePath(text).stem if shape == "stem" else _shaped(text, shape, form)
    return text


def _shaped(text: str, shape: str, form: Form) -> str:
    """The text as wide as `shape` says, or with one part of it for another (`OLD=NEW`)."""
    if _WIDTH.fullmatch(shape):
        return format(text, shape)
    old, equals, new = shape.partition("=")
    if not (old and equals):
        expected = "{KEY}, {KEY:stem}, a width like {KEY:0>5} or {KEY:OLD=NEW}"
        raise ConfigError("--id-template", form.id_template, expected=expected)
    return text.replace(old, new)


def _without_empty(row: dict[str, Any]) -> dict[str, Any]:
    """A table has a cell in every row: an empty one of these keys says that it is not known."""
    row = {key: value for key, value in row.items() if value != "" or key not in _TEXTS}
    confidence = row.get("confidence")
    if isinstance(confidence, str):
        del row["confidence"]
        if confidence.strip():
            try:
                row["confidence"] = float(confidence)
            except ValueError:
                row["confidence"] = confidence  # which the row's own check refuses
    return row


def _at(row: Any, key: str) -> Any:
    """The value under `key`, which may go down through objects and lists; None if none is."""
    if isinstance(row, Mapping) and key in row:
        return row[key]
    for part in key.split("."):
        if isinstance(row, Mapping):
            row = row.get(part)
        elif isinstance(row, list) and part.isdecimal() and int(part) < len(row):
            row = row[int(part)]
        else:
            return None
    return row
