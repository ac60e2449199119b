"""From a manifest row to the arrays its encoders read; one way for train, eval and predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from affect_mllm.data.faces import Faces, check_table
from affect_mllm.data.sources import PICTURES, Measured, Opened, Source
from affect_mllm.media.augment import shape_made
from affect_mllm.media.content import ContentIndex
from affect_mllm.media.remote import MediaFiles
from affect_mllm.media.sampling import Sampling
from affect_mllm.types import ConfigError, DataError, Patches, Sample, is_url

if TYPE_CHECKING:
    from affect_mllm.media.video import Frames

Still = Literal["first", "peak"]
Transform = Callable[[Any], np.ndarray | Patches]
VISUAL = {"face", "frame", "image"}


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

    `visual` is what to take from pictures: `face` falls back to `frame` (or `image`) with a
    warning where no face is found. `still` adds one whole picture as `image`: of the frames that
    are looked at, the first, or the one nearest to the row's `peak_s`. Pre-extracted `features`
    of a row go before its media, unless they are switched off: with those of anything visual,
    pictures are read for the `still` and for `visual` where it is not among them. `files` keeps
    copies of media that a manifest names by URL.
    `sampling` chooses the moments, `faces` says how faces are found and cut out, `backend` what
    decodes videos.
    """

    sampling: Sampling = field(default_factory=Sampling)
    faces: Faces = field(default_factory=Faces)
    visual: Literal["face", "frame"] = "face"
    still: Still | None = None
    features: bool = True
    backend: Literal["auto", "pyav", "torchcodec", "decord"] = "auto"
    files: MediaFiles = field(default_factory=MediaFiles)

    def read(self, sample: Sample, transforms: Mapping[str, Transform]) -> Clip:
        """Encoder inputs of every modality that is there and has a transform.

        Raises DataError naming the row and the file where a file cannot be read.
        """
        if sample.clips:
            return together(sample, lambda part: self.read(part, transforms))
        try:
            _check_kinds(sample)
            # What overflows is an array that is not finite, which is said below.
            with ExitStack() as stack, np.errstate(over="ignore", invalid="ignore"):
                reading = _Reading(self, sample, Opened(self, sample, stack))
                arrays = reading.arrays(transforms)
                check_finite(arrays, fix="look at the file: its values are too large to compute on")
                return Clip(arrays, tuple(reading.warnings))
        except DataError as error:
            error.add_note(f"row {sample.id}")
            raise

    def measured(
        self, sample: Sample, transforms: Mapping[str, Transform], index: ContentIndex
    ) -> dict[str, np.ndarray | Patches]:
        """Shapes of what `read` would give of a row without clips: arrays with nothing in them.

        `index` remembers the files' measures. Raises DataError as `read` does.
        """
        _check_kinds(sample)
        shapes = {name: partial(shape_made, each) for name, each in transforms.items()}
        return _Reading(self, sample, Measured(self, sample, index)).arrays(shapes)

    def settings(self) -> dict[str, object]:
        """What decides the arrays besides the files, for the feature cache's key."""
        return {
            "sampling": asdict(self.sampling),
            "faces": self.faces.settings(),
            "visual": self.visual,
            "still": self.still,
            "features": self.features,
            "backend": self.backend,
        }


class _Reading:
    """One row being read: where its media come from and what has to be said about it."""

    def __init__(self, reader: Reader, sample: Sample, source: Source) -> None:
        self.reader, self.sample, self.source = reader, sample, source
        self.warnings: list[str] = []

    def arrays(self, transforms: Mapping[str, Transform]) -> dict[str, np.ndarray | Patches]:
        given = self.source.states() if self.reader.features else {}
        found = {name: transforms[name](a) for name, a in given.items() if name in transforms}
        kinds = set(self.sample.media)
        if kinds & {*PICTURES, "faces"} and self._looks(set(found), set(transforms)):
            for name, frames in self._seen().items():
                if name in transforms and name not in found:
                    made = _bytes(transforms[name], frames.images)
                    timed = isinstance(made, Patches)
                    found[name] = made.timed(frames.times_s) if timed else made
        if "audio" in transforms and "audio" not in found and kinds & {"video", "audio"}:
            waveform = self._sound()
            if waveform is None:
                self._warn("no sound; answered without the voice")
            elif np.asarray(heard := transforms["audio"](waveform)).size:
                found["audio"] = heard
            else:
                self._warn("its sound is too short to be heard; answered without the voice")
        return found

    def _warn(self, what: str) -> None:
        self.warnings.append(f"{self.sample.id}: {what}")

    def _looks(self, found: set[str], wanted: set[str]) -> bool:
        """Whether pictures are read, beside the states in `found`."""
        if self.reader.still is not None:
            return bool(wanted & VISUAL - found)
        return bool(wanted & VISUAL) and not found & VISUAL

    def _seen(self) -> dict[str, Frames]:
        """What is seen by modality, the still among them."""
        name, frames = self._pictures()
        seen = {} if frames is None else {name: frames}
        if self.reader.still is not None and set(self.sample.media) & set(PICTURES):
            seen.setdefault("image", self._still())
        return seen

    def _still(self) -> Frames:
        from affect_mllm.media.video import Frames

        number, peak_s = 0, self.sample.peak_s
        if self.reader.still == "peak" and "image" not in self.sample.media:
            if peak_s is None:
                raise DataError(
                    "peak_s", "none", expected="a moment", fix="data.reader.still=first, or add it"
                )
            number = int(np.abs(self._frames.times_s - peak_s).argmin())
        chosen = slice(number, number + 1)
        return Frames(self._frames.images[chosen], self._frames.times_s[chosen])

    def _pictures(self) -> tuple[str, Frames | None]:
        """What is seen, and as which modality."""
        reader, media = self.reader, self.sample.media
        table = None
        if reader.visual == "face" and "faces" in media:
            table = self.source.table()
            if table is None:
                return "face", self.source.crops()
            check_table(self.sample)
        if not set(media) & set(PICTURES):
            self._warn("no whole frames; its face crops are not looked at (reader.visual=frame)")
            return "frame", None
        frames = self._frames
        whole = "image" if "image" in media else "frame"
        if reader.visual != "face":
            return whole, frames
        crops = self.source.faces(frames, table)
        if crops is None:
            self._warn(f"no face found; the whole {whole} is used")
            return whole, frames
        return "face", crops

    @cached_property
    def _frames(self) -> Frames:
        return self.source.frames()

    def _sound(self) -> np.ndarray | None:
        from affect_mllm.media.check import no_sound

        heard = self.source.sound()
        if heard is None and "audio" in self.sample.media:
            where = self.sample.media["audio"]
            raise no_sound(where if is_url(where) else self.sample.root / where)
        return heard


def _bytes(transform: Transform, images: npt.NDArray[np.uint8]) -> np.ndarray | Patches:
    """What it makes. ConfigError for floats that its encoder would take for normalised ones."""
    made = transform(images)
    values = made.values if isinstance(made, Patches) else made
    if getattr(transform, "normal", None) is not None and values.dtype != np.uint8:
        raise ConfigError(
            f"transform {type(transform).__name__}",
            f"makes {values.dtype} and has a `normal`",
            expected="uint8, which its encoder normalises by it",
            fix="change the bytes, or normalise them yourself and let `normal` be None",
        )
    return made


def together(sample: Sample, one: Callable[[Sample], Clip]) -> Clip:
    """What `one` gives of each of a row's clips, as the row's: `image.2` is the second one's.

    Raises its DataError, which then names the clip.
    """
    clips: list[Clip] = []
    for clip in sample.clips:
        try:
            clips.append(one(clip))
        except DataError as error:
            if clip.id in error.where:
                raise
            where = f"clip {clip.name}, {error.where}"
            raise DataError(where, error.got, expected=error.expected, fix=error.fix) from error
    arrays = {
        f"{name}.{number}": array
        for number, clip in enumerate(clips, start=1)
        for name, array in clip.arrays.items()
    }
    return Clip(arrays, tuple(warning for clip in clips for warning in clip.warnings))


def check_finite(arrays: Mapping[str, Any], *, fix: str) -> None:
    """DataError that names the modality of an array with NaN or infinity in it."""
    for name, array in arrays.items():
        values = np.asarray(array.values if isinstance(array, Patches) else array)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise DataError(name, "values that are not finite", expected="numbers", fix=fix)


def _check_kinds(sample: Sample) -> None:
    """Nothing that a row names is left unread in silence."""
    named = set(sample.media)
    if "image" in named and named & {"video", "frames"}:
        raise DataError(
            f"row {sample.id}",
            f"media {', '.join(sorted(named))}",
            expected="either an image, or a video and frames",
        )
