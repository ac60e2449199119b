"""One manifest row: from a JSON line to a Sample and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from affect_mllm.data import row_checks
from affect_mllm.data.placeholders import clip_names
from affect_mllm.types import Sample

_PLAIN_KEYS = ("id", "labels_only", *row_checks.NUMBER_KEYS, *row_checks.TEXT_KEYS, "labels")


def parse(raw: bytes) -> dict[str, Any] | str:
    """The JSON object of one line, or the sentence that says why it is none."""
    try:
        row = _DECODER.decode(raw.decode("utf-8").strip())
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {error.start + 1}"
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at column {error.colno}"
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    return (
        row if isinstance(row, dict) else f"a row must be a JSON object, got {type(row).__name__}"
    )


def id_of(row: Mapping[str, Any] | str) -> str:
    """The row's id, empty where there is none."""
    id = row.get("id") if isinstance(row, Mapping) else None
    return id if isinstance(id, str) else ""


def sample_of(row: Mapping[str, Any], root: Path) -> Sample:
    """The Sample of a row that passed the checks; media paths are relative to `root`."""
    names = clip_names(row.get("clips", ()))
    return Sample(
        **{key: row[key] for key in _PLAIN_KEYS if key in row},
        root=root,
        **_seen(row),
        messages=tuple(row.get("messages", ())),
        clips=tuple(
            Sample(f"{row['id']}, clip {name}", root, **_seen(clip), **_times(clip), name=name)
            for name, clip in zip(names, row.get("clips", ()), strict=True)
        ),
    )


def _seen(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row or a clip of it names to look at, and where."""
    return {
        "media": row_checks.media_paths(row),
        "face_boxes": tuple(map(tuple, row.get("face_boxes", ()))),
        "face_times_s": tuple(row.get("face_times_s", ())),
    }


def _times(clip: Mapping[str, Any]) -> dict[str, Any]:
    return {key: clip[key] for key in row_checks.NUMBER_KEYS if key in clip}


def row_of(sample: Sample) -> dict[str, Any]:
    """The row that `sample` is read from: absent fields are left out."""
    row: dict[str, Any] = {"id": sample.id}
    if sample.labels_only:
        row["labels_only"] = True
    if sample.clips:
        row["clips"] = [{"name": clip.name, **_shown(clip)} for clip in sample.clips]
    shown = _shown(sample)
    faces = {key: shown.pop(key) for key in row_checks.FACE_KEYS if key in shown}
    row |= shown
    for key in row_checks.TEXT_KEYS:
        value = getattr(sample, key)
        if value is not None:
            row[key] = value
    if sample.labels:
        row["labels"] = sample.labels
    if sample.messages:
        row["messages"] = [dict(turn) for turn in sample.messages]
    return row | faces


def _shown(sample: Sample) -> dict[str, Any]:
    """Media, times and faces of a row or a clip, as they stand in a file."""
    shown: dict[str, Any] = {}
    for key, path in sample.media.items():
        kind, _, modality = key.partition(".")
        if modality:
            shown.setdefault(kind, {})[modality] = path
        else:
            shown[key] = path
    for key in row_checks.NUMBER_KEYS:
        if getattr(sample, key) is not None:
            shown[key] = getattr(sample, key)
    if sample.face_times_s:
        shown["face_boxes"] = [list(box) for box in sample.face_boxes]
        shown["face_times_s"] = list(sample.face_times_s)
    return shown


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key used twice: {next(key for key in keys if keys.count(key) > 1)}")
    return result


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_no_constant)
