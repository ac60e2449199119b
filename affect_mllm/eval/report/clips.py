"""The clips of a report: which ones, with their pictures, sound and what the model said."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from affect_mllm.eval.metrics.beside_truth import Read
from affect_mllm.eval.predictions import Prediction
from affect_mllm.eval.report import charts
from affect_mllm.eval.report.data import Run
from affect_mllm.eval.report.reads import reference_read
from affect_mllm.eval.task import Task
from affect_mllm.types import AffectError, DataError, Sample

CLIPS, FRAMES, FRAME_WIDTH = 12, 4, 180


@dataclass(frozen=True)
class Clip:
    """One sample with its answer; a text in `errors` stands for media that could not be read."""

    sample: Sample
    question: str
    truth: str
    answer: Prediction | None
    read_as: str | None
    status: str
    frames: list[str]
    wave: Markup | None
    errors: list[str]
    right: bool  # as scoring decided


@dataclass(frozen=True)
class Clips:
    """The clips of one benchmark, or in `absent` the reason why there are none."""

    items: list[Clip]
    absent: str = ""

    @property
    def unreadable(self) -> int:
        """How many clips show an error text in place of a picture or sound."""
        return sum(bool(clip.errors) for clip in self.items)


def load_clips(run: Run, summary: dict[str, Any], *, count: int = CLIPS) -> Clips:
    """Clips of the reference variant: half of them wrong where there are enough, spread by id."""
    try:
        task, read = reference_read(run, summary)
    except AffectError as error:
        return Clips([], str(error))
    return Clips([_clip(task, read, index) for index in choose(read, count)])


def choose(read: Read, count: int) -> list[int]:
    """Row numbers of `count` samples in order: wrong and right ones half and half."""
    right = [i for i in range(len(read)) if read.right[i]]
    wrong = [i for i in range(len(read)) if not read.right[i]]
    wrongs = min(len(wrong), max(count // 2, count - len(right)))
    return sorted(_spread(wrong, wrongs) + _spread(right, count - wrongs))


def _spread(rows: Sequence[int], count: int) -> list[int]:
    """`count` of the rows at equal distances; all of them when there are fewer."""
    if count >= len(rows):
        return list(rows)
    return [rows[int((k + 0.5) * len(rows) / count)] for k in range(count)]


def _clip(task: Task, read: Read, index: int) -> Clip:
    sample, said = read.samples[index], read.answers[index]
    errors: list[str] = []
    frames: list[str] = []
    wave: Markup | None = None
    # A report comes out although a clip does not decode: its error is shown in place and counted.
    try:
        frames = [jpeg(image) for part in sample.parts for image in _images(part)]
    except Exception as error:
        errors.append(f"frames: {type(error).__name__}: {error}")
    try:
        wave = next(filter(None, map(_wave, sample.parts)), None)  # of several, the first
    except Exception as error:
        errors.append(f"sound: {type(error).__name__}: {error}")
    return Clip(
        sample=sample,
        question=task.ask(sample),
        truth=_shown(read.truth[index]),
        answer=read.predictions[index],
        read_as=None if said is None else _shown(said),
        status=read.status[index],
        frames=frames,
        wave=wave,
        errors=errors,
        right=bool(read.right[index]),
    )


def _shown(value: object) -> str:
    if isinstance(value, dict):
        order = sorted(value, key=lambda label: (-value[label], label))
        return ", ".join(f"{label} {value[label]:.0%}" for label in order if value[label] > 0)
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _images(sample: Sample) -> list[NDArray[np.uint8]]:
    """Some pictures of the sample, each `[H, W, 3]`; none for sound or text alone."""
    from affect_mllm.media.video import Sampling, read_frames, read_image

    if "video" in sample.media:
        sampling = Sampling(kind="uniform", frames=FRAMES)
        path, start_s, end_s = sample.path("video"), sample.start_s, sample.end_s
        return list(read_frames(path, sampling, start_s=start_s, end_s=end_s).images)
    return [read_image(sample.path("image"))] if "image" in sample.media else []


def _wave(sample: Sample) -> Markup | None:
    """The sound's envelope at the file's own rate: resampling would import torch for a picture."""
    from affect_mllm.media.backends.pyav_sound import decode_audio
    from affect_mllm.media.video import probe

    kind = "audio" if "audio" in sample.media else "video"
    if kind not in sample.media or not probe(sample.path(kind)).has_audio:
        return None
    sound, rate, first_s = decode_audio(sample.path(kind), sample.start_s, sample.end_s)
    if not len(sound):
        raise DataError(
            str(sample.path(kind)),
            "sound of 0 s",
            fix="correct start_s and end_s of the row, or fetch the file again",
        )
    last_s = first_s + len(sound) / rate
    window_s = (max(sample.start_s or 0.0, first_s), min(sample.end_s or last_s, last_s))
    begin, end = (round((moment - first_s) * rate) for moment in window_s)
    return charts.waveform(sound[begin:end], duration_s=(end - begin) / rate)


def jpeg(image: NDArray[np.uint8]) -> str:
    """A data URI of the picture, at most FRAME_WIDTH pixels wide."""
    from PIL import Image

    picture = Image.fromarray(image)
    picture.thumbnail((FRAME_WIDTH, FRAME_WIDTH))
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
