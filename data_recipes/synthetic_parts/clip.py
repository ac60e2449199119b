"""Writes one clip as an mp4 (H.264 and AAC), the same bytes for the same specs."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from . import cues, face, voice
from .design import ClipSpec, FaceSpec, VoiceSpec

DURATION_S = 3.2
FPS = Fraction(25, 2)
FRAMES = 40
KEYS = (0, 2, 4, 6, *range(8, FRAMES, 3))  # frames that are drawn; the others repeat them
LICENCE = "Apache-2.0 (synthetic)"


def key_times_s() -> np.ndarray:
    """The times in seconds at which a face is drawn, and to which the boxes belong."""
    return np.array([round(float(key / FPS), 3) for key in KEYS])


@lru_cache(maxsize=2)
def face_stream(spec: FaceSpec) -> tuple[np.ndarray, list[face.Box]]:
    """The drawn key frames uint8 `[len(KEYS), 256, 256, 3]` and their boxes; twins share them."""
    return face.render(spec, key_times_s())


def boxes(spec: FaceSpec) -> list[face.Box]:
    """The face boxes of a stream, without drawing it."""
    return face.boxes(spec, key_times_s())


class Maker:
    """Makes clips with one eSpeak NG process; use it as a context manager."""

    def __init__(self) -> None:
        self._speaker = voice.Speaker()
        self._last: tuple[VoiceSpec, np.ndarray] | None = None

    def __enter__(self) -> Maker:
        return self

    def __exit__(self, *_: object) -> None:
        self._speaker.close()

    def make(self, spec: ClipSpec, target: Path) -> None:
        """Writes the clip to a temporary name beside `target` and renames it."""
        images, _ = face_stream(spec.face)
        part = target.with_name(target.name + ".part")
        write_mp4(part, images, self._voice(spec.voice))
        part.replace(target)

    def _voice(self, spec: VoiceSpec) -> np.ndarray:
        if self._last is None or self._last[0] != spec:
            wave = voice.render(spec, self._speaker, duration_s=DURATION_S)
            self._last = (spec, wave)
        return self._last[1]


def write_mp4(path: Path, images: np.ndarray, wave: np.ndarray) -> None:
    """Encodes key frames (repeated until the next one) and mono sound float32 [n] at 16 kHz."""
    import av

    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as out:
        picture = out.add_stream("libx264", rate=FPS)
        picture.width = picture.height = face.SIZE_PX
        picture.pix_fmt = "yuv420p"
        picture.codec_context.thread_count = 1
        picture.options = {"preset": "veryfast", "crf": "20", "g": "25", "threads": "1"}
        sound = out.add_stream("aac", rate=voice.SAMPLE_RATE_HZ, layout="mono")
        sound.bit_rate = 64000
        sound.options = {"flags": "+bitexact"}
        for packet in [*_pictures(picture, images), *_sound(sound, wave)]:
            out.mux(packet)


def _pictures(stream: Any, images: np.ndarray) -> list[Any]:
    import av

    packets = []
    for number in range(FRAMES):
        key = int(np.searchsorted(KEYS, number, side="right")) - 1
        frame = av.VideoFrame.from_ndarray(images[key], format="rgb24")
        frame.pts, frame.time_base = number, 1 / FPS
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _sound(stream: Any, wave: np.ndarray) -> list[Any]:
    import av

    packets = []
    for start in range(0, len(wave), 1024):
        block = np.ascontiguousarray(wave[None, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = voice.SAMPLE_RATE_HZ, start
        frame.time_base = Fraction(1, voice.SAMPLE_RATE_HZ)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def row(spec: ClipSpec) -> dict[str, Any]:
    """The manifest row of a clip."""
    return {
        "id": spec.id,
        "video": f"clips/{spec.id}.mp4",
        "subtitle": spec.wording.text,
        "language": "en",
        "speaker": f"{spec.face.identity:02d}-{spec.voice.voice}",
        "group": spec.group,
        "split": spec.split,
        "labels": cues.labels(spec),
        "face_boxes": [list(box) for box in boxes(spec.face)],
        "face_times_s": key_times_s().tolist(),
        "source": "synthetic",
        "licence": LICENCE,
    }
