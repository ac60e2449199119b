"""A clip as one checkpoint's encoders got it: what is shown is what the transforms were given."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from affect_mllm.data.faces import Faces
from affect_mllm.data.reader import Clip, Reader, Transform
from affect_mllm.data.senses import VISUAL, sense_of
from affect_mllm.eval.generate.views import ALL
from affect_mllm.types import ConfigError, Patches, Sample

if TYPE_CHECKING:
    from affect_mllm.media.video import Frames
    from affect_mllm.tools.pipeline import Pipeline
    from affect_mllm.tools.seen import Seen

SOURCE = "source"  # the whole pictures that faces were cut out of


@dataclass(frozen=True)
class Looked:
    """What was read of an upload, and what it was made of.

    `pictures` are uint8 `[T, H, W, 3]` by modality, those that faces were looked for in as
    `source`; `sound` is float32 `[n]`, mono at 16 kHz, or None.
    """

    seen: Seen
    pictures: Mapping[str, NDArray[np.uint8]]
    sound: NDArray[np.float32] | None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which of the switches' modalities (`views.ALL`) the clip's media have."""
        found = {sense_of(name) for name in self.seen.clip.arrays}
        return tuple(kind for kind in ALL if kind in found)

    def left(self, kinds: Collection[str], words: str | None) -> Seen:
        """The clip with the modalities of `kinds` alone, `words` being what is said.

        What is taken away is absent, as in an evaluation's views. ConfigError if nothing is left.
        """
        arrays = self.seen.clip.arrays
        kept = {name: array for name, array in arrays.items() if sense_of(name) in kinds}
        said = words if words and "text" in kinds else None
        if not kept and not said:
            raise ConfigError(
                "modalities",
                "nothing of the clip is left",
                expected="a picture, a voice or words",
                fix="switch one on, or write what is said",
            )
        warnings = self.seen.clip.warnings
        sample = replace(self.seen.sample, subtitle=said)
        return replace(self.seen, sample=sample, clip=Clip(kept, warnings))


def look(model: Pipeline, path: Path | None) -> Looked:
    """Read an upload by the checkpoint's own reader; without one there will be words alone.

    Raises DataError as `predict` does.
    """
    from affect_mllm.tools.seen import Seen

    if path is None:
        return Looked(Seen(Sample("text", Path()), Clip({})), {}, None)
    watching = _Watching.of(model.data.reader)
    (seen,) = replace(model, data=replace(model.data, reader=watching)).look([path], [None])
    given = watching.kept
    cut = {SOURCE: given[SOURCE]} if "face" in given and SOURCE in given else {}
    pictures = {name: array for name, array in given.items() if name in VISUAL} | cut
    return Looked(seen, pictures, given.get("audio"))


@dataclass(frozen=True)
class _Cutting(Faces):
    """Faces that are cut out as ever, and remembers from what."""

    kept: dict[str, NDArray[Any]] = field(default_factory=dict)

    def crops(self, sample: Sample, frames: Frames, table: Path | None) -> Frames | None:
        self.kept[SOURCE] = frames.images
        return super().crops(sample, frames, table)


@dataclass(frozen=True)
class _Watching(Reader):
    """A reader that reads as ever, and remembers what transforms were given."""

    kept: dict[str, NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, reader: Reader) -> _Watching:
        """With the settings of `reader`."""
        kept: dict[str, NDArray[Any]] = {}
        faces = _Cutting(**_values(reader.faces), kept=kept)
        return cls(**{**_values(reader), "faces": faces}, kept=kept)

    def read(self, sample: Sample, transforms: Mapping[str, Transform]) -> Clip:
        watched = {name: _Watched(name, each, self.kept) for name, each in transforms.items()}
        return super().read(sample, watched)


@dataclass(frozen=True)
class _Watched:
    """A transform that remembers what it was given."""

    name: str
    transform: Transform
    kept: dict[str, NDArray[Any]]

    @property
    def normal(self) -> object:
        """What the reader asks of a transform, see `data/reader`."""
        return getattr(self.transform, "normal", None)

    def __call__(self, value: NDArray[Any]) -> np.ndarray | Patches:
        self.kept[self.name] = value
        return self.transform(value)


def _values(settings: Any) -> dict[str, Any]:
    return {each.name: getattr(settings, each.name) for each in fields(settings)}
