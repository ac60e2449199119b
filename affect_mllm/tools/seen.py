"""A file of one's own as a checkpoint reads it, kept so that several questions decode it once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from affect_mllm.data.reader import Clip, Transform
from affect_mllm.types import Sample

if TYPE_CHECKING:
    from affect_mllm.data.features import Features

AUTO = "auto"  # a subtitle that Whisper writes


@dataclass(frozen=True)
class Seen:
    """A clip that was read: its row and what the encoders get of it."""

    sample: Sample
    clip: Clip
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Held:
    """A reader that has read its rows already, so that several questions decode them once."""

    clips: Mapping[str, Clip]

    def read(self, sample: Sample, _transforms: Mapping[str, Transform]) -> Clip:
        """What was read of the row."""
        return self.clips[sample.id]


def sample_of(clip: Path | None) -> Sample:
    """A row for a file of one's own; its kind is found by looking into it. Raises DataError."""
    if clip is None:
        return Sample("text", Path())
    from affect_mllm.media.video import probe

    kind = probe(clip).kind
    return Sample(clip.stem, clip.parent, {kind: clip.name})


def seen_of(features: Features, clip: Path | None, subtitle: str | None, number: int) -> Seen:
    """Clip `number` as `features` read it, with its subtitle (`auto`: Whisper's). DataError."""
    sample = sample_of(clip)
    if subtitle == AUTO:
        from affect_mllm.tools.transcribe import said_in

        said = said_in(clip)
    else:
        said = subtitle
    silent = subtitle == AUTO and not said
    note = (f"{sample.id}: no speech found; answered without words",) if silent else ()
    read = features.clip(replace(sample, subtitle=said))
    return Seen(replace(sample, id=f"{number} {sample.id}", subtitle=said), read, note)
