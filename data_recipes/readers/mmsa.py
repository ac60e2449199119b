"""The form in which THUIAR (MMSA) distributes MOSI, MOSEI, CH-SIMS and CH-SIMS v2.

A table `video_id, clip_id, text, label, label_T, label_A, label_V, annotation, mode` and clips
`Raw/VIDEO/CLIP.mp4` (thuiar/MMSA; MERTools@89120b7, MERBench/toolkit/preprocess/simsv2.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from recipe import Entry, Inputs

from affect_mllm.types import DataError
from readers.tables import Line, read_csv

COLUMNS = ("video_id", "clip_id", "text", "label", "mode")
SPLITS = {"train": "train", "valid": "val", "test": "test"}
_SINGLE = {"label_T": "sentiment_text", "label_A": "sentiment_audio", "label_V": "sentiment_video"}


@dataclass(frozen=True)
class Table:
    """How a dataset fills the form: file, range of the labels ±`limit`, width of clip numbers."""

    file: str
    limit: float
    language: str
    clip_digits: int = 0


# (video_id, clip_id) → the media keys of its row
Media = Callable[[str, str], dict[str, Any]]


def clips(inputs: Inputs) -> Media:
    """Media of the clips that are cut already: `Raw/VIDEO/CLIP.mp4`."""
    raw = inputs.media_folder("Raw")
    return lambda video, clip: {"video": raw / video / f"{clip}.mp4"}


def rows(inputs: Inputs, table: Table, media: Media) -> Iterator[Entry]:
    """A row for each clip; `group` is the source video.

    A clip number that a spreadsheet has stripped of its leading zeros gets them back. DataError
    for a label outside of the range or an unknown mode.
    """
    for line in read_csv(inputs.folder / table.file, COLUMNS):
        video = line.text("video_id")
        clip = line.text("clip_id").zfill(table.clip_digits)
        row: dict[str, Any] = {"id": f"{video}_{clip}", **media(video, clip)}
        row |= {"subtitle": line.optional("text"), "language": table.language, "group": video}
        row |= {"split": _split(line), "labels": _labels(line, table.limit)}
        yield Entry(row, line.path, line.number)


def _split(line: Line) -> str:
    mode = line.text("mode")
    if mode not in SPLITS:
        raise DataError(line.where, f"mode {mode!r}", expected=f"one of {', '.join(SPLITS)}")
    return SPLITS[mode]


def _labels(line: Line, limit: float) -> dict[str, Any]:
    labels: dict[str, Any] = {"sentiment": line.number_of("label", low=-limit, high=limit)}
    for column, key in _SINGLE.items():
        if line.optional(column):
            labels[key] = line.number_of(column, low=-limit, high=limit)
    if line.optional("annotation"):
        labels["polarity"] = line.text("annotation").lower()
    return labels
