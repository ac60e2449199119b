"""What a manifest row must look like: plain checks that yield one sentence per problem."""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from affect_mllm.data import placeholders
from affect_mllm.types import MEDIA_FIELDS, MODALITIES, finite, is_encodable

TEXT_KEYS = ("subtitle", "language", "speaker", "group", "split", "source", "licence")
TIME_KEYS = ("start_s", "end_s", "peak_s")
NUMBER_KEYS = (*TIME_KEYS, "frames_fps")
FACE_KEYS = ("face_boxes", "face_times_s")
# The order in which a row is written, too.
ROW_KEYS = ("id", "labels_only", "clips", *MEDIA_FIELDS, *NUMBER_KEYS, *TEXT_KEYS, "labels",
            "messages", *FACE_KEYS)  # fmt: skip

TEXT_LABELS = ("emotion", "description", "intent", "visual_cues", "vocal_cues", "verbal_cues")
LABEL_RANGES = {
    "intensity": (0.0, 1.0),
    "valence": (-1.0, 1.0),
    "arousal": (-1.0, 1.0),
    "dominance": (-1.0, 1.0),
}
CONFLICT_PARTS = ("video_aligned", "audio_aligned", "consistent")
STATE_MODALITIES = tuple(name for name in MODALITIES if name != "multi")
_LABEL_KEYS = (*TEXT_LABELS, *LABEL_RANGES, "emotions", "sentiment", "conflict")

CLIP_KEYS = ("name", *MEDIA_FIELDS, *NUMBER_KEYS, *FACE_KEYS)

ROLES = ("system", "user", "assistant")


def row_problems(row: Mapping[str, Any], *, media: bool = True) -> Iterator[str]:
    """Every problem of one row that shows without looking at the disk.

    Without `media` (a row is only scored) it may have nothing that a model could see or read.
    """
    if not row.keys() <= _KNOWN:
        yield from (_unknown(key, ROW_KEYS) for key in row if key not in _KNOWN)
    if not _is_text(row.get("id")):
        yield f"id must be a non-empty string, got {row.get('id')!r}"
    for key in TEXT_KEYS:
        if key in row and not isinstance(row[key], str):
            yield f"{key} must be a string, got {row[key]!r}"
    named = [key for key in ("clips", *MEDIA_FIELDS) if key in row]
    if "labels_only" in row:
        yield from _labels_only_problems(row["labels_only"], named)
    elif media and not named and not _speaks(row):
        yield (
            f"no modality: none of {', '.join(MEDIA_FIELDS)}, no subtitle, no messages (a row that "
            'is only scored says "labels_only": true)'
        )
    yield from text_problems(row)
    if "clips" in row:
        yield from _clip_problems(row)
    for whose, part in parts_of(row):
        yield from (whose + reason for reason in _seen_problems(part))
    if "labels" in row:
        yield from _label_problems(row["labels"])
    if "messages" in row:
        yield from _message_problems(row)


def parts_of(row: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What names files: the row, and its clips, each with the words that a problem begins with."""
    yield "", row
    for name, clip in _clips_of(row):
        yield f"clip {name}: ", clip


def _clips_of(row: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The row's clips with their names, as far as they are objects."""
    given = row.get("clips")
    clips = [clip for clip in given if isinstance(clip, dict)] if isinstance(given, list) else []
    return [(str(n), clip) for n, clip in zip(placeholders.clip_names(clips), clips, strict=True)]


def _clip_problems(row: Mapping[str, Any]) -> Iterator[str]:
    clips = row["clips"]
    if not isinstance(clips, list) or not clips or len(_clips_of(row)) < len(clips):
        yield f"clips must be a non-empty list of objects, got {clips!r}"
        return
    if beside := [key for key in CLIP_KEYS if key in row]:
        yield f"clips, and {', '.join(beside)} beside them: what is seen stands in the clips"
    names = placeholders.clip_names(clips)
    for name, clip in zip(names, clips, strict=True):
        if not isinstance(name, str) or not placeholders.NAME.fullmatch(name):
            yield f"a clip's name must be letters, digits, '.', '_' or '-', got {name!r}"
        elif names.count(name) > 1:
            yield f"clip {name}: the name is used twice"
        unknown = [key for key in clip if key not in CLIP_KEYS]
        yield from (f"clip {name}: " + _unknown(key, CLIP_KEYS) for key in unknown)
        if not any(key in clip for key in MEDIA_FIELDS):
            yield f"clip {name}: none of {', '.join(MEDIA_FIELDS)}"


def _seen_problems(part: Mapping[str, Any]) -> Iterator[str]:
    """Of times, features and faces, which a row or a clip has."""
    yield from _time_problems(part)
    yield from _feature_problems(part.get("features"))
    if "face_boxes" in part or "face_times_s" in part:
        yield from _face_problems(part.get("face_boxes"), part.get("face_times_s"))


def _labels_only_problems(value: Any, named: list[str]) -> Iterator[str]:
    if value is not True:
        yield f"labels_only must be true or absent, got {value!r}"
    elif named:
        yield f"labels_only, but {', '.join(named)} is named: leave out one or the other"


def text_problems(value: Any, where: str = "") -> Iterator[str]:
    """Keys and values, however deep, that no tokenizer can read and no file can hold as UTF-8."""
    if _encodes(value):  # nearly always, and quickly seen
        return
    if isinstance(value, str):
        yield f"{where} holds half a character (a lone UTF-16 surrogate), got {value!r}"
    elif isinstance(value, dict):
        for key, each in value.items():
            inner = f"{where}.{key}" if where else str(key)
            yield from text_problems(key, f"the key {inner}")
            yield from text_problems(each, inner)
    else:
        for at, each in enumerate(value):
            if not _encodes(each):
                yield from text_problems(each, f"{where}[{at}]")


def _encodes(value: Any) -> bool:
    """Whether all text in it does. No call for a number: faces bring thousands of them a row."""
    if isinstance(value, str):
        return is_encodable(value)
    if isinstance(value, dict):
        return all(map(_encodes, value)) and all(map(_encodes, value.values()))
    if isinstance(value, list | tuple):
        return all(_encodes(each) for each in value if type(each) not in _NUMBERS)
    return True


def values_outside(value: Any, allowed: Iterable[str]) -> list[Any]:
    """The label, or the labels of a list, that are not among `allowed`."""
    values = value if isinstance(value, list) else [value]
    return [each for each in values if each not in allowed]


def media_paths(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row's media by kind; `features` given by modality become `features.MODALITY`."""
    paths = {key: row[key] for key in MEDIA_FIELDS if key in row}
    if isinstance(paths.get("features"), dict):
        states = paths.pop("features")
        paths |= {f"features.{name}": value for name, value in states.items()}
    return paths


def _unknown(key: str, known: Iterable[str], prefix: str = "") -> str:
    near = _nearest(str(key).lower(), tuple(known), 0.7)
    hint = f" (did you mean {prefix}{near}?)" if near else ""
    return f"unknown key {prefix}{key}{hint}"


@lru_cache(maxsize=4096)
def _nearest(key: str, known: tuple[str, ...], cutoff: float) -> str | None:
    """The known key that is most like `key`. Every row of a manifest asks about the same few."""
    return next(iter(difflib.get_close_matches(key, known, n=1, cutoff=cutoff)), None)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _speaks(row: Mapping[str, Any]) -> bool:
    return _is_text(row.get("subtitle")) or bool(row.get("messages"))


def _time_problems(row: Mapping[str, Any]) -> Iterator[str]:
    bad = [key for key in TIME_KEYS if key in row and not finite(row[key])]
    yield from (f"{key} must be a number of seconds, got {row[key]!r}" for key in bad)
    if bad:
        return
    if "frames_fps" in row and not (finite(row["frames_fps"]) and row["frames_fps"] > 0):
        yield f"frames_fps must be a number of pictures a second, got {row['frames_fps']!r}"
    start_s, end_s = row.get("start_s", 0.0), row.get("end_s", math.inf)
    if start_s < 0:
        yield f"start_s must not be negative, got {start_s}"
    if start_s >= end_s:
        yield f"start_s must be before end_s, got {start_s} and {end_s}"
    elif "peak_s" in row and not start_s <= row["peak_s"] <= end_s:
        yield f"peak_s must lie between start_s and end_s, got {row['peak_s']}"


def _feature_problems(features: Any) -> Iterator[str]:
    if not isinstance(features, dict):
        return
    if not features:
        yield "features must be a path, or paths by modality, got {}"
    unknown = [name for name in features if name not in STATE_MODALITIES]
    yield from (_unknown(name, STATE_MODALITIES, "features.") for name in unknown)


def _label_problems(labels: Any) -> Iterator[str]:
    if not isinstance(labels, dict):
        yield f"labels must be an object, got {labels!r}"
        return
    for key, value in labels.items():
        if key in LABEL_RANGES:
            low, high = LABEL_RANGES[key]
            if not (finite(value) and low <= value <= high):
                yield f"labels.{key} must be a number from {low:g} to {high:g}, got {value!r}"
        elif key in TEXT_LABELS:
            if not _is_text(value):
                yield f"labels.{key} must be a non-empty string, got {value!r}"
        elif key not in _LABEL_KEYS:
            # Other keys are welcome; one that is nearly a known key is a slip of the pen.
            if _nearest(str(key).lower(), _LABEL_KEYS, 0.85) is not None:
                yield _unknown(key, _LABEL_KEYS, "labels.")
        else:
            yield from _other_label_problems(key, value)


def _other_label_problems(key: str, value: Any) -> Iterator[str]:
    if key == "emotions" and not (isinstance(value, list) and all(map(_is_text, value))):
        yield f"labels.emotions must be a list of strings, got {value!r}"
    if key == "sentiment" and not (_is_text(value) or finite(value)):
        yield f"labels.sentiment must be a string or a number, got {value!r}"
    if key == "conflict" and value not in CONFLICT_PARTS:
        yield f"labels.conflict must be one of {', '.join(CONFLICT_PARTS)}, got {value!r}"


def _message_problems(row: Mapping[str, Any]) -> Iterator[str]:
    messages = row["messages"]
    if not isinstance(messages, list) or not messages:
        yield f"messages must be a non-empty list of chat turns, got {messages!r}"
        return
    for at, turn in enumerate(messages):
        if not isinstance(turn, dict) or turn.keys() != {"role", "content"}:
            yield f"messages[{at}] must have the keys role and content, got {turn!r}"
        elif turn["role"] not in ROLES or not isinstance(turn["content"], str):
            yield f"messages[{at}] must have a role of {', '.join(ROLES)} and text, got {turn!r}"
        elif "labels_only" not in row and "clips" not in row:
            for name, _ in placeholders.PLAIN.findall(turn["content"]):
                if not any(key in row for key in placeholders.SERVED_BY[name]):
                    yield f"messages[{at}] uses <{name}>, which the row does not have"
    if "clips" in row:
        yield from _clip_placeholder_problems(row)


def _clip_placeholder_problems(row: Mapping[str, Any]) -> Iterator[str]:
    said = [turn["content"] for turn in row["messages"] if isinstance(turn, dict)
            and isinstance(turn.get("content"), str)]  # fmt: skip
    clips = {name: clip.keys() for name, clip in _clips_of(row)}
    if reason := placeholders.fault(placeholders.asked_for(said), clips):
        yield f"messages: {reason}"


def _face_problems(boxes: Any, times_s: Any) -> Iterator[str]:
    if not isinstance(boxes, list) or not isinstance(times_s, list):
        yield "face_boxes and face_times_s must both be there and be lists"
        return
    if len(boxes) != len(times_s):
        yield f"{len(boxes)} face_boxes but {len(times_s)} face_times_s"
    if not all(map(_is_box, boxes)):
        yield "face_boxes must be [x, y, width, height] in pixels with a positive size"
    if not all(map(finite, times_s)):
        yield "face_times_s must be numbers of seconds"
    elif any(later <= earlier for earlier, later in itertools.pairwise(times_s)):
        yield "face_times_s must increase"


def _is_box(box: Any) -> bool:
    if not isinstance(box, list) or len(box) != 4 or not all(map(finite, box)):
        return False
    return box[2] > 0 and box[3] > 0


_KNOWN = frozenset(ROW_KEYS)
_NUMBERS = frozenset({int, float})
