"""Fixtures of benchmarks whose rows bring their pictures along: VLMEvalKit's TSV, made up."""

from __future__ import annotations

import base64
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.recipes.kit import Kit, Made

OPTIONS = {"A": "a dog", "B": "a cat", "C": "a man", "D": "nothing"}


def tsv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A TSV with all columns of `rows`, lists as Python writes them, bytes as base64."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter="\t", restval="")
        writer.writeheader()
        writer.writerows({k: _cell(v) for k, v in row.items()} for row in rows)
    return path


def _cell(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def made(root: Path, kit: Kit, rows: Sequence[Mapping[str, Any]], **more: Any) -> Made:
    """The fixture of a TSV whose rows get an index, and a picture each where they have none."""
    full = [
        {"index": at, **row, **({} if "image" in row else {"image": kit.picture()})}
        for at, row in enumerate(rows)
    ]
    path = tsv(root / "benchmark.tsv", full)
    return Made([str(path)], path, len(rows), unpacks=True, **more)
