"""Faces in pictures: finding them, and cutting one out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from affect_mllm.media.image import resize
from affect_mllm.types import DataError

if TYPE_CHECKING:
    from affect_mllm.media.mtcnn import Mtcnn

Boxes = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Detections:
    """`boxes` float64 [N, 4]: x, y, width, height in pixels, largest first; `scores` [N], 0..1."""

    boxes: Boxes
    scores: npt.NDArray[np.float64]


class FaceDetector:
    """MTCNN with the weights of an asset folder, loaded when the first image comes."""

    def __init__(self, path: str | Path, min_face_px: int = 40) -> None:
        """`path`: the folder with model.safetensors; `min_face_px`: smaller faces are not found."""
        self.path = Path(path)
        self.min_face_px = min_face_px

    @cached_property
    def _net(self) -> Mtcnn:
        from affect_mllm.media.mtcnn import Mtcnn

        return Mtcnn.from_folder(self.path, min_face_px=self.min_face_px)

    def detect(self, image: npt.NDArray[np.uint8]) -> Detections:
        """The faces of uint8 [H, W, 3] RGB, largest first; none is an empty result, not an error.

        CheckpointError when the weights are missing or do not fit.
        """
        import torch

        boxes, scores = self._net(torch.from_numpy(np.array(image)))
        found, trust = boxes.numpy().astype(np.float64), scores.numpy().astype(np.float64)
        order = np.argsort(-found[:, 2] * found[:, 3], kind="stable")
        return Detections(found[order], trust[order])


def crop_faces(
    frames: npt.NDArray[np.uint8], boxes: Boxes, *, size: int = 224, margin: float = 0.2
) -> npt.NDArray[np.uint8]:
    """Square crops uint8 [T, size, size, 3] of uint8 frames [T, H, W, 3] about boxes [T, 4].

    The square has the box's centre and its longer side, and `margin` of that side more at each
    end; what lies outside the frame repeats the frame's edge. DataError for a box that is NaN
    (choose the frames with a face first), without area, or outside its frame.
    """
    boxes = np.asarray(boxes, np.float64)
    if boxes.shape != (len(frames), 4):
        raise DataError("face boxes", f"shape {boxes.shape}", expected=f"({len(frames)}, 4)")
    crops = np.empty((len(frames), size, size, 3), np.uint8)
    for at, (frame, box) in enumerate(zip(frames, boxes, strict=True)):
        crops[at] = resize(_square(frame, box, at, margin=margin), size, size)
    return crops


def _square(
    frame: npt.NDArray[np.uint8], box: Boxes, at: int, *, margin: float
) -> npt.NDArray[np.uint8]:
    x, y, width, height = box
    if not (np.isfinite(box).all() and width > 0 and height > 0):
        raise DataError(
            f"face box of frame {at}", str(box.tolist()), expected="x, y, width, height in pixels"
        )
    rows, columns = frame.shape[:2]
    if x >= columns or y >= rows or x + width <= 0 or y + height <= 0:
        raise DataError(
            f"face box of frame {at}",
            f"{box.tolist()}, outside the frame",
            expected=f"a box within {columns} x {rows} pixels",
        )
    side = max(1, round(max(width, height) * (1 + 2 * margin)))
    left, top = round(x + width / 2 - side / 2), round(y + height / 2 - side / 2)
    across = np.clip(np.arange(left, left + side), 0, columns - 1)
    down = np.clip(np.arange(top, top + side), 0, rows - 1)
    return frame[down[:, None], across]


def interpolate_boxes(
    box_times_s: npt.ArrayLike, boxes: npt.ArrayLike, times_s: npt.ArrayLike
) -> Boxes:
    """Boxes [T, 4] at `times_s` [T] from boxes [N, 4] known at ascending `box_times_s` [N].

    Linear between two known boxes, the nearest one before the first and after the last; NaN where
    a neighbour is NaN. DataError when the lengths differ or the times do not ascend.
    """
    known, at = np.asarray(boxes, np.float64), np.asarray(box_times_s, np.float64)
    if known.ndim != 2 or known.shape[1] != 4 or at.shape != known.shape[:1] or not len(at):
        raise DataError(
            "face boxes",
            f"boxes of shape {known.shape} at times of shape {at.shape}",
            expected="[N, 4] and [N] with N > 0",
        )
    if (np.diff(at) <= 0).any():
        raise DataError("face box times", str(at.tolist()), expected="ascending seconds")
    wanted = np.asarray(times_s, np.float64)
    return np.stack([np.interp(wanted, at, known[:, edge]) for edge in range(4)], axis=1)
