"""Where the face of the person in a row is: given crops, OpenFace's table, boxes, or a detector."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from pydantic import PositiveInt

from affect_mllm.config import weights_path
from affect_mllm.types import DataError, Sample

if TYPE_CHECKING:
    from affect_mllm.media.face import Boxes, FaceDetector
    from affect_mllm.media.sampling import Sampling
    from affect_mllm.media.video import Frames

TABLE = ".csv"


@dataclass(frozen=True)
class Faces:
    """How faces are found and cut out, as squares of `size` pixels.

    A row's `faces` go first: crops (a folder of pictures, or a `.npy` array whose channels are in
    the order `array_colors`), or OpenFace's `.csv` beside a video, of which detections surer than
    `min_confidence` count. Then its `face_boxes`, then the `detector`. Where there are tracks of
    several people, `person` chooses: see `media.people.choose`; among the detector's, unless the
    row's boxes say who is meant, those whose face had a score of `min_score` or more in a frame.
    `margin` is a share of the box's longer side, added at each end.
    """

    size: PositiveInt = 224
    margin: float = 0.2
    detector: str | None = None
    person: Literal["largest", "longest", "manifest"] = "largest"
    min_confidence: float = 0.8
    min_score: float = 0.9
    array_colors: Literal["rgb", "bgr"] | None = None

    def given(self, path: Path, sampling: Sampling) -> Frames:
        """Crops of the row, sampled by their order, each stretched to `size`. DataError."""
        from affect_mllm.media.image import resize
        from affect_mllm.media.openface import read_crops
        from affect_mllm.media.pictures import file_pick, picture_files, sample_pictures

        if path.suffix == ".npy":
            array = read_crops(path, colors=self.array_colors)
            pick, count = (lambda at: np.ascontiguousarray(array[at])), len(array)
        else:
            files = picture_files(path) if path.is_dir() else [path]
            pick, count = file_pick(files), len(files)
        square = (self.size, self.size)
        return sample_pictures(
            lambda at: resize(pick(at), *square), count, sampling, where=str(path)
        )

    def crops(self, sample: Sample, frames: Frames, table: Path | None) -> Frames | None:
        """The person's face in those of `frames` where it is seen; None if it is nowhere."""
        from affect_mllm.media.face import crop_faces
        from affect_mllm.media.video import Frames

        boxes = self._boxes(sample, frames, table)
        seen = _seen(boxes, frames)
        if boxes is None or not seen.any():
            return None
        images = crop_faces(frames.images[seen], boxes[seen], size=self.size, margin=self.margin)
        return Frames(images, frames.times_s[seen])

    def seen(self, sample: Sample, frames: Frames, table: Path | None) -> npt.NDArray[np.bool_]:
        """In which of `frames` [T] the face will be: of a detector, which looks at them, in all."""
        told = table is not None or (sample.face_boxes and self.person != "manifest")
        if self.detector is not None and not told:
            return np.ones(len(frames.times_s), bool)
        return _seen(self._boxes(sample, frames, table), frames)

    def settings(self) -> Mapping[str, object]:
        """What decides the crops besides the files; the detector by its weights."""
        return {**asdict(self), "detector": self.detector and _weights_hash(self.detector)}

    def _boxes(self, sample: Sample, frames: Frames, table: Path | None) -> Boxes | None:
        from affect_mllm.media import people
        from affect_mllm.media.face import interpolate_boxes
        from affect_mllm.media.openface import FaceTrack, read_table

        times = frames.times_s
        hint = None
        if sample.face_boxes:
            hint = FaceTrack(np.asarray(sample.face_boxes), np.asarray(sample.face_times_s))
        if table is not None:
            found = read_table(table, min_confidence=self.min_confidence)
            seen = [people.boxes_at(track, times) for track in found]
        elif hint is not None and self.person != "manifest":
            return interpolate_boxes(hint.times_s, hint.boxes, times)
        elif self.detector is not None:
            detector = _detector(weights_path(self.detector))
            found = [detector.detect(image) for image in frames.images]
            seen = people.tracks([each.boxes for each in found])
            if self.person != "manifest":
                sure = [each.boxes[each.scores >= self.min_score] for each in found]
                seen = people.met(seen, np.concatenate(sure))
        else:
            return None
        return people.choose(seen, self.person, times_s=times, hint=hint)


def _seen(boxes: Boxes | None, frames: Frames) -> npt.NDArray[np.bool_]:
    """In which of `frames` [T] there is a box."""
    if boxes is None:
        return np.zeros(len(frames.times_s), bool)
    return np.asarray(~np.isnan(boxes).any(axis=1))


def check_table(sample: Sample) -> None:
    """DataError for a table of faces without the pictures that it is about."""
    if not {"video", "frames", "image"} & set(sample.media):
        raise DataError(
            f"row {sample.id}",
            f"faces {sample.media['faces']}, and no picture",
            expected="the video, frames or image that the table is about",
        )


@lru_cache(maxsize=1)
def _detector(folder: str) -> FaceDetector:
    """One detector a process: its weights are loaded once."""
    from affect_mllm.media.face import FaceDetector

    return FaceDetector(folder)


@lru_cache(maxsize=4)
def _weights_hash(name: str) -> str:
    weights = Path(weights_path(name)) / "model.safetensors"
    return hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else name
