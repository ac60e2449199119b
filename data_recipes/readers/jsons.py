"""JSON as publishers ship it: whole files and JSON lines, with the place of what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from affect_mllm.types import DataError
from readers.tables import lines_of, read_text


def read_json(path: Path, kind: type) -> Any:
    """The content of a UTF-8 JSON file, which must be a `dict` or a `list`, as `kind` says.

    DataError when it cannot be read, is no JSON, uses a key twice or is of another kind.
    """
    try:
        content = json.loads(read_text(path), object_pairs_hook=_unique)
    except ValueError as error:
        raise DataError(str(path), f"not JSON: {error}") from error
    return _of_kind(str(path), content, kind)


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of every line; DataError names the line that is no JSON object."""
    for number, text in lines_of(path):
        try:
            content = json.loads(text, object_pairs_hook=_unique)
        except ValueError as error:
            raise DataError(f"{path}:{number}", f"not JSON: {error}") from error
        yield number, _of_kind(f"{path}:{number}", content, dict)


def need(where: str, record: dict[str, Any], key: str, kind: type | tuple[type, ...]) -> Any:
    """`record[key]`, which must be of `kind`; DataError at `where` names what is there instead."""
    if key not in record:
        raise DataError(where, f"no key {key!r}; the keys are {sorted(record)}")
    value = record[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        names = [each.__name__ for each in (kind if isinstance(kind, tuple) else (kind,))]
        raise DataError(where, f"{key} {value!r}", expected=" or ".join(names))
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key used twice: {next(key for key in keys if keys.count(key) > 1)!r}")
    return content


def _of_kind(where: str, content: Any, kind: type) -> Any:
    if not isinstance(content, kind):
        raise DataError(where, f"a JSON {type(content).__name__}", expected=f"a {kind.__name__}")
    return content
