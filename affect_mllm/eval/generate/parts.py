"""What another model is shown, heard and told of a row: pictures, sounds and words, in order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from affect_mllm.data.messages import media_of, user_content
from affect_mllm.data.reader import Reader, Transform
from affect_mllm.data.senses import VISUAL
from affect_mllm.data.template import Media, Prompt
from affect_mllm.eval.generate.question import Question, Unseen
from affect_mllm.eval.generate.views import View
from affect_mllm.types import Patches, Sample, modality_of

Picture = npt.NDArray[np.uint8]  # `[H, W, 3]`
_SEVERAL = Prompt(lines=dict.fromkeys(Prompt().order, "{}"), question="\n{}")

_SHORTEST = 800  # samples, 0.05 s: of much less an audio tower makes no token at all


@dataclass(frozen=True)
class Sound:
    """A waveform `[samples]`, float32, mono, 16 kHz."""

    wave: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Film:
    """The pictures `[T, H, W, 3]` of a video, two or more, seen at `times_s`, as one part."""

    pictures: npt.NDArray[np.uint8]
    times_s: tuple[float, ...]

    @property
    def step_s(self) -> float:
        """Mean seconds from one picture to the next."""
        return (self.times_s[-1] - self.times_s[0]) / (len(self.times_s) - 1)


Part = str | Picture | Film | Sound


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
    def films(self) -> list[Film]:
        """Its videos that are parts of their own, in order."""
        return [part for part in self.parts if isinstance(part, Film)]

    @property
    def sounds(self) -> list[Sound]:
        """Its sounds, in order."""
        return [part for part in self.parts if isinstance(part, Sound)]

    @property
    def text(self) -> str:
        """Its words alone."""
        return "".join(part for part in self.parts if isinstance(part, str))


def turn_of(
    reader: Reader,
    sample: Sample,
    question: Question,
    view: View,
    *,
    sees: bool = True,
    hears: bool = False,
    films: bool = False,
) -> Turn:
    """What `reader` reads of the row's pictures and sound, then its words and the question; of a
    row with several clips, each where the question names it. With `films`, the pictures of a video
    are one part.

    Raises DataError where a file cannot be read, Unseen where nothing is left to be shown to a
    model that `sees` and `hears`, or does not.
    """
    taken = taken_of(view, sees=sees, hears=hears)
    read = _read(reader, sample, taken, films=films)
    words = sample.subtitle if "text" in taken else None
    asked = question.about(sample)
    used = media_of(sample, list(read), asked)
    worded = bool(words) or (sample.is_words and "text" in taken)
    if not used and not worded:
        raise Unseen(
            f"row {sample.id}",
            "no picture, no sound and no text that this model takes",
            expected=f"at least one of {', '.join(taken)}",
        )
    if sample.clips:
        content = user_content(_SEVERAL, sample, used, words, asked)
    else:
        content = [*_SEVERAL.media(used), f"Subtitle: {words}\n{asked}" if words else asked]
    shown = dict.fromkeys(modality_of(p.modality) for p in content if isinstance(p, Media))
    parts = [p for s in content for p in (read[s.modality] if isinstance(s, Media) else [s])]
    return Turn(tuple(_joined(parts)), (*shown, *(["text"] if worded else [])))


def taken_of(view: View, *, sees: bool, hears: bool) -> list[str]:
    """The view's modalities that such a model takes; every model reads."""
    able = {"text": True, "face": sees, "audio": hears}
    return [modality for modality in view.modalities if able[modality]]


def _read(
    reader: Reader, sample: Sample, modalities: Collection[str], *, films: bool
) -> dict[str, list[Picture | Film | Sound]]:
    """The row's media of these modalities by name, as they are in its files; no blip as a sound."""
    wanted: dict[str, Transform] = {}
    if "face" in modalities:
        wanted |= dict.fromkeys(VISUAL, _pixels if films else np.asarray)
    if "audio" in modalities:
        wanted["audio"] = np.asarray
    if not wanted:
        return {}
    arrays = replace(reader, features=False).read(sample, wanted).arrays
    found: dict[str, list[Picture | Film | Sound]] = {}
    for name, array in arrays.items():
        if isinstance(array, Patches):
            found[name] = _filmed(array)
        elif modality_of(name) != "audio":
            found[name] = list(array)
        elif len(array) >= _SHORTEST:
            found[name] = [Sound(array)]
    return found


def _pixels(images: npt.NDArray[np.uint8]) -> Patches:
    """Pictures `[T, H, W, 3]`, a patch a pixel: the reader adds when each was seen."""
    frames, height, width, channels = images.shape
    return Patches(images.reshape(-1, channels), (frames, height, width))


def _filmed(pixels: Patches) -> list[Picture | Film | Sound]:
    """A film, or pictures where there is one alone or no time passes between them."""
    pictures = pixels.values.reshape(*pixels.grid, -1)
    if len(pictures) > 1 and pixels.step_s > 0:
        return [Film(pictures, pixels.times_s)]
    return list(pictures)


def _joined(parts: Sequence[Part]) -> Iterator[Part]:
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
