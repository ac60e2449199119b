"""What another model is shown, heard and told of a row: pictures, sounds and words, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from affect_mllm.data.messages import media_of, user_content
from affect_mllm.data.reader import Reader
from affect_mllm.data.template import Media, Prompt
from affect_mllm.eval.generate.question import Question, Unseen
from affect_mllm.eval.generate.views import VISUAL, View
from affect_mllm.types import Sample, modality_of

Picture = npt.NDArray[np.uint8]  # `[H, W, 3]`
_SEVERAL = Prompt(lines=dict.fromkeys(Prompt().order, "{}"), question="\n{}")


@dataclass(frozen=True)
class Sound:
    """A waveform `[samples]`, float32, mono, 16 kHz."""

    wave: npt.NDArray[np.float32]


Part = str | Picture | Sound


@dataclass(frozen=True)
class Turn:
    """One user turn: its `parts` in the order in which they are said, and which modalities of the
    row they show.
    """

    parts: tuple[Part, ...]
    seen: tuple[str, ...] = ()

    @property
    def pictures(self) -> list[Picture]:
        """Its pictures, in order."""
        return [part for part in self.parts if isinstance(part, np.ndarray)]

    @property
    def text(self) -> str:
        """Its words alone."""
        return "".join(part for part in self.parts if isinstance(part, str))


def turn_of(reader: Reader, sample: Sample, question: Question, view: View) -> Turn:
    """What `reader` reads of the row's pictures, then its words and the question; of a row with
    several clips, each where the question names it.

    Raises DataError where a file cannot be read, Unseen where nothing is left to be shown.
    """
    read: dict[str, Picture] = {}
    if "face" in view.modalities:
        found = reader.read(sample, dict.fromkeys(VISUAL, _untouched)).arrays
        read = {name: images for name, images in found.items() if isinstance(images, np.ndarray)}
    words = sample.subtitle if "text" in view.modalities else None
    asked = question.about(sample)
    used = media_of(sample, list(read), asked)
    if not used and not words and not (sample.is_words and "text" in view.modalities):
        raise Unseen(
            f"row {sample.id}", "no picture and no text", expected="something that a VLM sees"
        )
    worded = ["text"] if words or sample.is_words else []
    if not sample.clips:
        pictures = [image for name in used for image in read[name]]
        told = f"Subtitle: {words}\n{asked}" if words else asked
        return Turn((*pictures, told), (*dict.fromkeys(map(modality_of, used)), *worded))
    content = user_content(_SEVERAL, sample, used, words, asked)
    shown = [part.modality for part in content if isinstance(part, Media)]
    parts = [
        piece
        for part in content
        for piece in (read[part.modality] if isinstance(part, Media) else [part])
    ]
    return Turn(tuple(_joined(parts)), (*dict.fromkeys(map(modality_of, shown)), *worded))


def _joined(parts: list[Part]) -> Iterator[Part]:
    """Texts that follow each other as one, none of them empty."""
    words = ""
    for part in parts:
        if isinstance(part, str):
            words += part
            continue
        if words:
            yield words
        words = ""
        yield part
    if words:
        yield words


def _untouched(images: np.ndarray) -> np.ndarray:
    return np.asarray(images)
