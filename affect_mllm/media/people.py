"""Several people in a clip: their tracks over frames, and whose face is meant."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from affect_mllm.media.face import Boxes, interpolate_boxes
from affect_mllm.media.openface import FaceTrack
from affect_mllm.types import DataError

Person = Literal["largest", "longest", "manifest"]

# A box continues a track when its centre moved by less than this many face sizes and its size
# changed by less than this factor: frames may be a second apart, so overlap would be too strict.
MAX_MOVE_SIZES = 1.5
MAX_GROWTH = 2.0
MAX_GAP_S = 0.5  # a frame further from any sight of a face than this has none


def tracks(detections: list[Boxes]) -> list[Boxes]:
    """The people in per-frame boxes [N_t, 4]: each [T, 4], NaN rows where absent.

    Tracks are grown frame by frame, the largest choosing first, each taking the nearest box that
    `MAX_MOVE_SIZES` and `MAX_GROWTH` allow; a track may miss frames.
    """
    found: list[Boxes] = []
    for at, boxes in enumerate(detections):
        free = list(range(len(boxes)))
        for track in sorted(found, key=_total_area, reverse=True):
            if free and (best := _continuation(track, boxes, free)) is not None:
                track[at] = boxes[best]
                free.remove(best)
        for index in free:
            track = np.full((len(detections), 4), np.nan)
            track[at] = boxes[index]
            found.append(track)
    return found


def met(people: list[Boxes], boxes: Boxes) -> list[Boxes]:
    """Those of the tracks that have one of `boxes` [N, 4] in a frame."""
    return [track for track in people if (track[:, None] == boxes).all(axis=2).any()]


def boxes_at(track: FaceTrack, times_s: npt.NDArray[np.float64]) -> Boxes:
    """A person's boxes [T, 4] at `times_s`, NaN rows more than 0.5 s from any sight of the face."""
    boxes = interpolate_boxes(track.times_s, track.boxes, times_s)
    after = np.clip(np.searchsorted(track.times_s, times_s), 1, len(track.times_s) - 1)
    near = track.times_s[[after - 1, after]] if len(track.times_s) > 1 else track.times_s[None]
    boxes[np.abs(near - times_s).min(axis=0) > MAX_GAP_S] = np.nan
    return boxes


def choose(
    people: list[Boxes],
    person: Person,
    *,
    times_s: npt.NDArray[np.float64],
    hint: FaceTrack | None,
) -> Boxes | None:
    """The track [T, 4] of the person who is meant, None where nobody is.

    `largest`: whose face fills most pixels over all frames together. `longest`: who is seen in
    most frames. `manifest`: who overlaps most with `hint`, the row's own boxes, at the frames
    nearest to them. DataError for the last one without a hint.
    """
    if person == "manifest" and hint is None:
        raise DataError(
            "face_boxes",
            "none, and the person is chosen by them",
            expected="at least one box of the person who is meant",
            fix="add face_boxes and face_times_s to the row, or set reader.faces.person=largest",
        )
    if not people:
        return None
    if person == "largest":
        return max(people, key=_total_area)
    if person == "longest":
        return max(people, key=lambda track: (_seen(track), _total_area(track)))
    assert hint is not None
    best = max(people, key=lambda track: _agreement(track, hint, times_s))
    return best if _agreement(best, hint, times_s) > 0 else None


def _total_area(track: Boxes) -> float:
    return float(np.nansum(track[:, 2] * track[:, 3]))


def _seen(track: Boxes) -> int:
    return int((~np.isnan(track[:, 0])).sum())


def _agreement(track: Boxes, hint: FaceTrack, times_s: npt.NDArray[np.float64]) -> float:
    """Intersection over union with the hint's boxes, added up."""
    nearest = np.abs(times_s[:, None] - hint.times_s).argmin(axis=0)
    mine = track[nearest]
    low = np.maximum(mine[:, :2], hint.boxes[:, :2])
    high = np.minimum(mine[:, :2] + mine[:, 2:], hint.boxes[:, :2] + hint.boxes[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    both = mine[:, 2:].prod(axis=1) + hint.boxes[:, 2:].prod(axis=1) - shared
    return float(np.nansum(shared / both))


def _continuation(track: Boxes, boxes: Boxes, free: list[int]) -> int | None:
    last = track[~np.isnan(track[:, 0])][-1]
    size = np.sqrt(last[2] * last[3])
    sizes = np.sqrt(boxes[free, 2] * boxes[free, 3])
    centres = boxes[free, :2] + boxes[free, 2:] / 2
    moves = np.linalg.norm(centres - (last[:2] + last[2:] / 2), axis=1) / size
    growth = np.maximum(sizes / size, size / sizes)
    moves[(moves > MAX_MOVE_SIZES) | (growth > MAX_GROWTH)] = np.inf
    best = int(moves.argmin())
    return free[best] if np.isfinite(moves[best]) else None
