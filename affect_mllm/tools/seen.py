"""Clips that were read once, for any questions about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from affect_mllm.data.features import Features
from affect_mllm.data.reader import Clip
from affect_mllm.types import Sample

AUTO = "auto"  # a subtitle that Whisper writes


@dataclass(frozen=True)
class Seen:
    """A clip that was read: its row and what the encoders get of it."""

    sample: Sample
    clip: Clip
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Held(Features):
    """Features of rows that were read already, by id."""

    clips: Mapping[str, Clip] = field(default_factory=dict)

    def clip(self, sample: Sample, *, seed: tuple[int, ...] | None = None) -> Clip:
        """What was read of the row."""
        del seed
        return self.clips[sample.id]


def sample_of(clip: Path | None) -> Sample:
    """A row for a file of one's own; its kind is found by looking into it. Raises DataError."""
    if clip is None:
        return Sample("text", Path())
    from affect_mllm.media.video import probe

    kind = probe(clip).kind
    return Sample(clip.stem, clip.parent, {kind: clip.name})


def see(features: Features, sample: Sample) -> Seen:
    """Read a row; its subtitle may be `auto`. Raises DataError, ConfigError for nothing to hear."""
    said, notes = sample.subtitle, ()
    if said == AUTO:
        said = _said(sample)
        notes = () if said else (f"{sample.id}: no speech found; answered without words",)
    told = replace(sample, subtitle=said)
    return Seen(told, features.clip(told), notes)


def _said(sample: Sample) -> str | None:
    from affect_mllm.tools.transcribe import said_in

    kind = next((kind for kind in ("audio", "video", "image") if kind in sample.media), None)
    return said_in(None if kind is None else sample.path(kind))
