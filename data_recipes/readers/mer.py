"""What the MER challenges' recipes share: their six emotions, label archives, subtitle files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from recipe import Entry

from affect_mllm.types import DataError
from readers.media import Clips
from readers.tables import Line, by_key, read_csv
from readers.texts import string_list

# MERTools, MERBench/toolkit/globals.py (emos_mer).
EMOTIONS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
# The value that MERTools writes where a clip has no valence.
_NO_VALENCE = -10


def subtitles(path: Path, column: str, *, needed: bool = True) -> dict[str, Line]:
    """Clip name → its line in a subtitle file `name, chinese, english`.

    {} if the file is not there and not `needed`. Empty cells are clips without speech.
    """
    if not needed and not path.is_file():
        return {}
    return by_key(read_csv(path, ["name", column]), "name")


def npz_rows(
    path: Path,
    corpora: Mapping[str, Mapping[str, Mapping[str, Any]]],
    clips: Clips,
    texts: Mapping[str, Line],
    *,
    column: str = "english",
) -> Iterator[Entry]:
    """A row for each clip of a label archive: `emotion`, and `valence_published` where it has one.

    DataError for a clip that the subtitle file does not have, or an emotion that is no word.
    """
    for split, corpus in corpora.items():
        for at, (name, values) in enumerate(corpus.items(), start=1):
            where = f"{path}:{split}_corpus[{name!r}]"
            if not isinstance(values["emo"], str):
                raise DataError(where, f"emo {values['emo']!r}", expected="an emotion word")
            labels: dict[str, Any] = {"emotion": str(values["emo"])}
            valence = float(values.get("val", _NO_VALENCE))
            if valence != _NO_VALENCE and not math.isnan(valence):
                labels["valence_published"] = valence
            if name not in texts:
                raise DataError(where, "no line for this clip in the subtitle file")
            text = said(texts[name].optional(column), "en" if column == "english" else "zh")
            row = {"id": name, **clips.of(name), **text}
            yield Entry({**row, "split": split, "labels": labels}, path, at)


def said(subtitle: str, language: str) -> dict[str, str]:
    """A subtitle and its language; without one the language is that of the clips, Chinese."""
    return {"subtitle": subtitle, "language": language if subtitle else "zh"}


def open_labels(line: Line, column: str = "openset") -> list[str]:
    """The open-vocabulary labels of a row; an empty list or cell means neutral.

    That reading is AffectGPT's own (zeroQiaoba/AffectGPT@fffca79: an empty openset is neutral).
    """
    text = line.optional(column)
    return (string_list(text, line.where) if text else []) or ["neutral"]
