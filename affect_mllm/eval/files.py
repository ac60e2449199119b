"""Writing text and JSON so that a kill leaves the old file or none."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_json_atomic(path: Path, value: Any) -> None:
    """Write `value` with sorted keys and floats of 6 digits; a kill leaves the old file or none."""
    text = json.dumps(rounded(value), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text_atomic(Path(path), text + "\n")


def write_text_atomic(path: Path, text: str) -> None:
    """Write a whole UTF-8 file under a temporary name, then rename it into place.

    Half a character (a lone surrogate, which UTF-8 has not) becomes `\\udXXX`, as JSON writes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def rounded(value: Any) -> Any:
    """`value` as JSON has it: keys as strings, tuples as lists, floats rounded.

    Six digits after the point, or six significant ones below 1: a small p-value is not 0.
    """
    if isinstance(value, float):
        return round(value, 6) if abs(value) >= 1 else _significant(value)
    if isinstance(value, Mapping):
        return {str(key): rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _significant(value: float) -> float:
    return 0.0 if abs(value) <= 1e-15 else float(f"{value:.6g}")  # so little is rounding error
