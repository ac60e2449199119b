"""From a manifest row to the arrays its encoders read; one way for train, eval and predict."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from affect_mllm.types import DataError, Patches, Sample

Transform = Callable[[Any], np.ndarray | Patches]


class ReadsRows(Protocol):
    """What features need of a reader."""

    def read(self, sample: Sample, transforms: Mapping[str, Transform], /) -> Clip:
        """Encoder inputs of every modality that is there."""
        ...


@dataclass(frozen=True)
class Clip:
    """What a row holds: encoder inputs by modality, and what was missing, in words."""

    arrays: dict[str, np.ndarray | Patches]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reader:
    """Reads a row's media as the model's branches want them.

    `visual` is what to take from video and images: `face` falls back to `frame` (or `image`)
    with a warning where no face is found. Boxes come from the manifest, else from `detector`.
    """

    frames: int = 8
    face_size: int = 224
    face_margin: float = 0.2
    visual: str = "face"
    detector: str | None = None
    backend: Literal["auto", "pyav", "torchcodec", "decord"] = "auto"
    _cache: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def read(self, sample: Sample, transforms: Mapping[str, Transform]) -> Clip:
        """Encoder inputs of every modality that is there and has a transform.

        Raises DataError naming the row and the file where a file cannot be read.
        """
        _check_kinds(sample)
        arrays: dict[str, np.ndarray | Patches] = {}
        warnings: list[str] = []
        try:
            if self._has_pictures(sample):
                name, images, times_s = self._pictures(sample, warnings)
                if name in transforms:
                    made = transforms[name](images)
                    arrays[name] = made.timed(times_s) if isinstance(made, Patches) else made
            if "audio" in transforms and {"video", "audio"} & set(sample.media):
                self._sound(sample, transforms["audio"], arrays, warnings)
        except DataError as error:
            error.add_note(f"row {sample.id}")
            raise
        return Clip(arrays, tuple(warnings))

    def settings(self) -> dict[str, object]:
        """What decides the arrays besides the file, for the feature cache's key."""
        return {
            "frames": self.frames,
            "face_size": self.face_size,
            "margin": self.face_margin,
            "visual": self.visual,
            "detector": self._detector_hash(),
            "backend": self.backend,
        }

    def _detector_hash(self) -> str | None:
        """The detector by its weights, where they are there."""
        from affect_mllm.config import assets_dir

        if self.detector is None:
            return None
        folder = assets_dir() / self.detector.removeprefix("asset:")
        weights = folder / "model.safetensors"
        if not weights.is_file():
            return self.detector
        return hashlib.sha256(weights.read_bytes()).hexdigest()

    def _has_pictures(self, sample: Sample) -> bool:
        return bool({"video", "image", "faces"} & set(sample.media))

    def _pictures(self, sample: Sample, warnings: list[str]) -> tuple[str, np.ndarray, np.ndarray]:
        from affect_mllm.media.video import Sampling, read_frames, read_image

        if self.visual == "face" and "faces" in sample.media:
            crops = self._given_crops(sample.path("faces"))
            return "face", crops, np.zeros(1)  # when they were taken is not known
        if "video" in sample.media:
            frames = read_frames(
                sample.path("video"),
                Sampling(kind="uniform", frames=self.frames),
                start_s=sample.start_s,
                end_s=sample.end_s,
                backend=self.backend,
            )
            images, times, whole = frames.images, frames.times_s, "frame"
        else:
            images = read_image(sample.path("image"))[None]
            times, whole = np.zeros(1), "image"
        if self.visual != "face":
            return whole, images, times
        boxes = self._boxes(sample, images, times)
        if boxes is None or np.isnan(boxes).any(1).all():
            warnings.append(f"{sample.id}: no face found; the whole {whole} is used")
            return whole, images, times
        from affect_mllm.media.face import crop_faces

        real = ~np.isnan(boxes).any(1)
        crops = crop_faces(images[real], boxes[real], size=self.face_size, margin=self.face_margin)
        return "face", crops, times[real]

    def _given_crops(self, path: Path) -> np.ndarray:
        """Face crops of the manifest: a folder of pictures in the order of their names, or one.

        `frames` of them, evenly spread, each stretched to `face_size`.
        """
        from affect_mllm.media.image import resize
        from affect_mllm.media.video import read_image

        files = (
            sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
        )
        if not files:
            raise DataError(str(path), "no picture in this folder", expected="face crops")
        chosen = np.linspace(0, len(files) - 1, min(self.frames, len(files))).round().astype(int)
        size = self.face_size
        return np.stack([resize(read_image(files[i]), size, size) for i in chosen])

    def _boxes(self, sample: Sample, images: np.ndarray, times: np.ndarray) -> np.ndarray | None:
        if sample.face_boxes:
            from affect_mllm.media.face import interpolate_boxes

            return interpolate_boxes(
                np.asarray(sample.face_times_s), np.asarray(sample.face_boxes), times
            )
        if self.detector is None:
            return None
        return self._face_detector().boxes(images)

    def _face_detector(self) -> Any:
        if "detector" not in self._cache:
            from affect_mllm.config import weights_path
            from affect_mllm.media.face import FaceDetector

            assert self.detector is not None
            self._cache["detector"] = FaceDetector(weights_path(self.detector))
        return self._cache["detector"]

    def _sound(
        self,
        sample: Sample,
        transform: Transform,
        arrays: dict[str, np.ndarray | Patches],
        warnings: list[str],
    ) -> None:
        from affect_mllm.media.audio import read_audio

        kind = "audio" if "audio" in sample.media else "video"
        waveform = read_audio(
            sample.path(kind), start_s=sample.start_s, end_s=sample.end_s, backend=self.backend
        )
        if waveform is None:
            warnings.append(f"{sample.id}: no sound; answered without the voice")
            return
        arrays["audio"] = transform(waveform)


def _check_kinds(sample: Sample) -> None:
    """Nothing that a row names is left unread in silence."""
    named = set(sample.media)
    if named & {"frames", "features"} or {"video", "image"} <= named:
        raise DataError(
            f"row {sample.id}",
            f"media {', '.join(sorted(named))}",
            expected="video or image, audio, faces; `frames` and `features` are not read yet",
        )
