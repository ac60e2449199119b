"""What OpenFace leaves of a clip: a table of landmarks over frames, or an array of aligned crops.

Formats: TadasBaltrusaitis/OpenFace, `FeatureExtraction -2Dfp -simalign`; the arrays are those that
zeroQiaoba/MERTools@89120b7 makes of the crops (`feature_extraction/visual/extract_openface.py`).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from affect_mllm.media.refusals import unlike, unreadable
from affect_mllm.types import ConfigError, DataError

LANDMARKS = 68
# The units whose presence OpenFace tells, as the Facial Action Coding System names them.
UNITS = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    5: "upper lid raiser",
    6: "cheek raiser",
    7: "lid tightener",
    9: "nose wrinkler",
    10: "upper lip raiser",
    12: "lip corner puller",
    14: "dimpler",
    15: "lip corner depressor",
    17: "chin raiser",
    20: "lip stretcher",
    23: "lip tightener",
    25: "lips part",
    26: "jaw drop",
    28: "lip suck",
    45: "blink",
}
_NEEDED = ("timestamp", "confidence", "success")


@dataclass(frozen=True)
class FaceTrack:
    """One person: `boxes` float64 [N, 4] (x, y, width, height in pixels) at `times_s` [N]."""

    boxes: npt.NDArray[np.float64]
    times_s: npt.NDArray[np.float64]


def read_table(path: Path, *, min_confidence: float) -> list[FaceTrack]:
    """The people of OpenFace's CSV, in the order of their `face_id`.

    A box is what the 68 landmarks span; frames that OpenFace calls failed, or is less than
    `min_confidence` (0..1) sure of, are left out. DataError for a table that is not OpenFace's.
    """
    points = [f"{axis}_{i}" for axis in "xy" for i in range(LANDMARKS)]
    column = _columns(path, points, of="2D landmarks (-2Dfp)")
    sure = (column["success"] == 1) & (column["confidence"] >= min_confidence)
    ids = column.get("face_id", np.zeros(len(sure)))
    boxes = _spans(np.stack([column[name] for name in points], axis=1))
    if len(bad := np.flatnonzero(sure & ~np.isfinite(boxes).all(1))):
        raise DataError(f"{path}:{bad[0] + 2}", "landmarks that are no numbers", expected="pixels")
    return [_track(boxes, column["timestamp"], sure & (ids == id)) for id in np.unique(ids[sure])]


def read_units(path: Path, *, min_confidence: float) -> dict[str, float] | None:
    """Action units of OpenFace's CSV by their name in FACS → share of the sure frames in which
    OpenFace says that they are there (`AU12_c`), the commonest first; None without a sure frame.

    The surest person counts where there are several. DataError for a table without these columns.
    """
    units = {name: f"AU{number:02d}_c" for number, name in UNITS.items()}
    column = _columns(path, [*units.values()], of="action units (-aus)")
    sure = (column["success"] == 1) & (column["confidence"] >= min_confidence)
    if not sure.any():
        return None
    ids = column.get("face_id", np.zeros(len(sure)))
    sums = {id: column["confidence"][sure & (ids == id)].sum() for id in np.unique(ids[sure])}
    surest = max(sums, key=sums.__getitem__)
    mine = sure & (ids == surest)
    shares = {name: float(column[key][mine].mean()) for name, key in units.items()}
    return dict(sorted(shares.items(), key=lambda each: -each[1]))


def read_crops(path: Path, *, colors: Literal["rgb", "bgr"] | None) -> npt.NDArray[np.uint8]:
    """Aligned crops of a `.npy` file: uint8 [T, H, W, 3] RGB, read from disk when indexed.

    `colors` says how the file orders its channels; the publisher's arrays come from OpenCV and are
    `bgr`, which the file itself does not say. ConfigError when it is None; DataError for another
    array, or one of Python objects, which only executing what it holds would read.
    """
    if colors is None:
        raise ConfigError(
            "reader.faces.array_colors",
            f"not set, and {path} is an array of pictures",
            expected="rgb or bgr: how its channels are ordered",
            fix="MERTools' and AffectGPT's openface_face arrays are bgr",
        )
    array = load_array(path)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3 or not len(array):
        raise DataError(
            str(path), f"{array.dtype} {array.shape}", expected="uint8 [T, H, W, 3], T > 0"
        )
    return array[..., ::-1] if colors == "bgr" else array


def _columns(path: Path, needed: Sequence[str], *, of: str) -> dict[str, npt.NDArray[np.float64]]:
    """The table's columns by their names. DataError for one without those that are `needed`, or
    that is no table of numbers.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file, skipinitialspace=True))
    except OSError as error:
        raise unreadable(path, error) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise unlike(path, "CSV", error) from error
    header = [name.strip() for name in rows[0]] if rows else []
    if missing := [name for name in (*_NEEDED, *needed) if name not in header]:
        raise DataError(
            str(path),
            f"no column {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else ""),
            expected=f"the CSV of OpenFace's FeatureExtraction with {of}",
        )
    values = _numbers(path, [row for row in rows[1:] if row], len(header))
    return {name: values[:, at] for at, name in enumerate(header)}


def load_array(path: Path) -> npt.NDArray[Any]:
    """A `.npy` array mapped from disk; DataError for one of Python objects or another file."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            str(path),
            f"cannot be read as an array ({str(error).splitlines()[0]})",
            expected="numbers in NumPy's .npy format, no Python objects",
        ) from error


def _numbers(path: Path, rows: list[list[str]], width: int) -> npt.NDArray[np.float64]:
    values = np.full((len(rows), width), np.nan)
    for at, row in enumerate(rows):
        try:
            values[at] = [float(cell) for cell in row]
        except ValueError as error:
            raise DataError(
                f"{path}:{at + 2}", f"{len(row)} cells: {error}", expected=f"{width} numbers"
            ) from error
    return values


def _spans(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    x, y = points[:, :LANDMARKS], points[:, LANDMARKS:]
    low = np.stack([x.min(1, initial=np.inf), y.min(1, initial=np.inf)], axis=1)
    high = np.stack([x.max(1, initial=-np.inf), y.max(1, initial=-np.inf)], axis=1)
    return np.concatenate([low, high - low], axis=1)


def _track(
    boxes: npt.NDArray[np.float64], times_s: npt.NDArray[np.float64], mine: npt.NDArray[np.bool_]
) -> FaceTrack:
    order = np.argsort(times_s[mine], kind="stable")
    return FaceTrack(boxes[mine][order], times_s[mine][order])
