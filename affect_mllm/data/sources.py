"""Where a row's arrays come from: its open files, or what was measured of them before."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from affect_mllm.data.faces import TABLE
from affect_mllm.data.states import read_states, states_shapes
from affect_mllm.media.content import ContentIndex, version_of
from affect_mllm.types import Sample, is_url

if TYPE_CHECKING:
    from affect_mllm.data.faces import Faces
    from affect_mllm.media.remote import MediaFiles
    from affect_mllm.media.sampling import Sampling
    from affect_mllm.media.video import Backend, Frames

PICTURES = ("frames", "video", "image")  # what is looked at first where a row has several


class Choices(Protocol):
    """What a reader decides of how media are read."""

    @property
    def sampling(self) -> Sampling: ...

    @property
    def faces(self) -> Faces: ...

    @property
    def backend(self) -> Backend: ...

    @property
    def files(self) -> MediaFiles: ...


class Source(Protocol):
    """What reading asks of a row's media; each raises DataError naming the file."""

    def states(self) -> dict[str, np.ndarray]:
        """Pre-extracted states by modality."""
        ...

    def table(self) -> Path | None:
        """OpenFace's table where the row's `faces` are one."""
        ...

    def crops(self) -> Frames:
        """The row's own face crops."""
        ...

    def frames(self) -> Frames:
        """Whole pictures: frames of a video or a folder, or one picture."""
        ...

    def faces(self, frames: Frames, table: Path | None) -> Frames | None:
        """The person's face in `frames`, of which `table` may tell; None where it is nowhere."""
        ...

    def sound(self) -> np.ndarray | None:
        """The waveform at 16 kHz; None of a video without sound."""
        ...


class Opened:
    """The files themselves, which stay open until `stack` is closed."""

    def __init__(self, reader: Choices, sample: Sample, stack: ExitStack) -> None:
        self.reader, self.sample, self.stack = reader, sample, stack

    def states(self) -> dict[str, np.ndarray]:
        """As the files hold them."""
        found: dict[str, np.ndarray] = {}
        for kind, modality in _state_kinds(self.sample):
            found |= read_states(self.path(kind), modality)
        return found

    def table(self) -> Path | None:
        """The `.csv`."""
        path = self.path("faces")
        return path if path.suffix.lower() == TABLE else None

    def crops(self) -> Frames:
        """Read and stretched."""
        return self.reader.faces.given(self.path("faces"), self.reader.sampling)

    def frames(self) -> Frames:
        """Decoded."""
        from affect_mllm.media.pictures import file_pick, picture_files, sample_pictures
        from affect_mllm.media.video import Frames, read_frames, read_image

        sample, sampling, kind = self.sample, self.reader.sampling, picture_kind(self.sample)
        path = self.path(kind)
        if kind == "image":
            return Frames(read_image(path)[None], np.zeros(1))
        if kind == "frames":
            files = picture_files(path)
            return sample_pictures(
                file_pick(files),
                len(files),
                sampling,
                fps=sample.frames_fps,
                window=(sample.start_s, sample.end_s, sample.peak_s),
                where=str(path),
            )
        return read_frames(
            path,
            sampling,
            start_s=sample.start_s,
            end_s=sample.end_s,
            peak_s=sample.peak_s,
            backend=self.reader.backend,
        )

    def faces(self, frames: Frames, table: Path | None) -> Frames | None:
        """Found and cut out."""
        return self.reader.faces.crops(self.sample, frames, table)

    def sound(self) -> np.ndarray | None:
        """Decoded."""
        from affect_mllm.media.audio import read_audio

        return read_audio(self.path(sound_kind(self.sample)), **_window(self))

    def path(self, kind: str) -> Path:
        """Where the medium is on this machine."""
        return self.stack.enter_context(self.reader.files.local(self.sample, kind))


class Measured:
    """Arrays of the right shapes with nothing in them, by what `index` remembers of the files.

    What it does not know yet is measured: a video is not decoded but for one frame, and sound is,
    since headers do not say its length to the sample. A face that has to be looked for in pictures
    is taken to be in all of them; motion, to be none.
    """

    def __init__(self, reader: Choices, sample: Sample, index: ContentIndex) -> None:
        self.reader, self.sample, self.index = reader, sample, index
        self._files = Opened(reader, sample, ExitStack())

    def states(self) -> dict[str, np.ndarray]:
        """By the files' headers."""
        found = {}
        for kind, modality in _state_kinds(self.sample):
            shapes = self._told(
                kind, f"states {modality}", lambda path, m=modality: states_shapes(path, m)
            )
            found |= {name: _empty(shape, np.float32) for name, shape in shapes.items()}
        return found

    def table(self) -> Path | None:
        """As when the files are opened."""
        return self._files.table()

    def crops(self) -> Frames:
        """As many as are sampled of those that there are."""
        from affect_mllm.media.measure import measure_crops, measure_folder
        from affect_mllm.media.pictures import picture_ranks
        from affect_mllm.media.video import Frames

        array = self.sample.media["faces"].endswith(".npy")
        count, _ = self._told("faces", "crops", measure_crops if array else measure_folder)
        _, times_s = picture_ranks(count, self.reader.sampling, motion=lambda: np.zeros(count))
        return Frames(self._squares(len(times_s)), times_s)

    def frames(self) -> Frames:
        """As large and as many as would be decoded, at their times."""
        from affect_mllm.media.measure import VideoMeasure, measure_folder, measure_video
        from affect_mllm.media.pictures import picture_ranks
        from affect_mllm.media.still import picture_size
        from affect_mllm.media.video import Frames

        sample, sampling, kind = self.sample, self.reader.sampling, picture_kind(self.sample)
        window = (sample.start_s, sample.end_s, sample.peak_s)
        if kind == "image":
            size, times_s = self._told(kind, "picture", picture_size), np.zeros(1)
        elif kind == "frames":
            count, sizes = self._told(kind, "pictures", measure_folder)
            ranks, times_s = picture_ranks(
                count,
                sampling,
                fps=sample.frames_fps,
                window=window,
                motion=lambda: np.zeros(count),
            )
            size = sizes[ranks[0] if len(sizes) > 1 else 0]
        else:
            text = self._text(
                kind,
                f"video {sample.start_s} {sample.end_s}",
                lambda path: measure_video(path, sample.start_s, sample.end_s).text(),
            )
            video = VideoMeasure.of_text(text)
            every, size = video.times_s, video.size
            chosen = sampling.ranks(
                every, video.window, peak_s=sample.peak_s, motion=lambda: np.zeros(len(every))
            )
            times_s = every[chosen]
        return Frames(_empty((len(times_s), *size, 3), np.uint8), times_s)

    def faces(self, frames: Frames, table: Path | None) -> Frames | None:
        """Where boxes or a table tell; in all frames where a detector would look."""
        from affect_mllm.media.video import Frames

        seen = self.reader.faces.seen(self.sample, frames, table)
        if not seen.any():
            return None
        return Frames(self._squares(int(seen.sum())), frames.times_s[seen])

    def sound(self) -> np.ndarray | None:
        """As long as the waveform would be."""
        from affect_mllm.media.audio import sound_length

        sample, window = self.sample, _window(self)
        count = self._told(
            sound_kind(sample),
            f"sound {sample.start_s} {sample.end_s} {window['backend']}",
            lambda path: sound_length(path, **window),
        )
        return None if count is None else _empty((count,), np.float32)

    def _squares(self, count: int) -> np.ndarray:
        size = self.reader.faces.size
        return _empty((count, size, size, 3), np.uint8)

    def _told(self, kind: str, what: str, measure: Callable[[Path], Any]) -> Any:
        return json.loads(self._text(kind, what, lambda path: json.dumps(measure(path))))

    def _text(self, kind: str, what: str, measure: Callable[[Path], str]) -> str:
        """What is remembered of the medium as it is now, or is measured and remembered."""
        where, files = self.sample.media[kind], self.reader.files

        def measured() -> str:
            with files.local(self.sample, kind) as path:
                return measure(path)

        path = self.sample.root / where
        version = files.version(where) if is_url(where) else version_of(path)
        name = where if is_url(where) else str(path.absolute())
        return self.index.told(f"{name}\n{what}", version, measured)


def picture_kind(sample: Sample) -> str:
    """Which of the row's media is looked at for whole pictures."""
    return next(kind for kind in PICTURES if kind in sample.media)


def sound_kind(sample: Sample) -> str:
    """Which of the row's media is heard."""
    return "audio" if "audio" in sample.media else "video"


def _window(source: Opened | Measured) -> dict[str, Any]:
    sample = source.sample
    return {"start_s": sample.start_s, "end_s": sample.end_s, "backend": source.reader.backend}


def _state_kinds(sample: Sample) -> list[tuple[str, str | None]]:
    """The media that are states, and the modality of each (None: as its tensors are called)."""
    split = [(kind, kind.partition(".")) for kind in sample.media]
    return [(kind, modality or None) for kind, (name, _, modality) in split if name == "features"]


def _empty(shape: tuple[int, ...] | list[int], dtype: Any) -> np.ndarray:
    return np.broadcast_to(np.zeros((), dtype), tuple(shape))
