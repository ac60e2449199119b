"""A few real media files with all labels: what is drawn and heard follows the emotion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affect_mllm.data import manifest
from affect_mllm.types import Sample

EMOTIONS = ("happy", "sad", "angry")
_COLOURS = ((240, 200, 40), (40, 70, 160), (210, 30, 30))
_PITCHES_HZ = (440.0, 160.0, 300.0)
_CUES = ("description", "visual_cues", "vocal_cues", "verbal_cues")
FPS, RATE_HZ, SIZE = 25, 44_100, (64, 48)
COUNT, TRAINED = 14, 10


def write_corpus(root: Path) -> Path:
    """`manifest.jsonl` and 14 short clips below `root`: of different length, ten to train with.

    One has no sound, one is only a sound.
    """
    (root / "clips").mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(COUNT):
        emotion = EMOTIONS[i % len(EMOTIONS)]
        labels: dict[str, Any] = {"emotion": emotion, "emotions": [emotion]}
        labels |= {cue: f"{cue.split('_')[0]} of {emotion}" for cue in _CUES}
        rows.append(
            Sample(
                f"c{i:02d}",
                root,
                media=_medium(root, i),
                subtitle=f"sentence {i}",
                split="train" if i < TRAINED else "test",
                labels=labels,
            )
        )
    path = root / "manifest.jsonl"
    manifest.write(rows, path)
    return path


def _medium(root: Path, i: int) -> dict[str, str]:
    look = i % len(EMOTIONS)
    if i == 2:
        _write_sound(root / "clips/c02.wav", _tone(look, 0.3))
        return {"audio": "clips/c02.wav"}
    name = f"clips/c{i:02d}.mp4"
    sound = None if i == 1 else _tone(look, 0.2 + 0.05 * i)
    _write_video(root / name, _pictures(look, 6 + i), sound)
    return {"video": name}


def _pictures(look: int, frames: int) -> list[NDArray[np.uint8]]:
    """A square of the emotion's colour that moves over a ground that grows brighter."""
    width, height = SIZE
    made = []
    for at in range(frames):
        image = np.full((height, width, 3), 40 + 120 * at // frames, np.uint8)
        left = at * (width - 24) // frames
        image[12:36, left : left + 24] = _COLOURS[look]
        made.append(image)
    return made


def _tone(look: int, duration_s: float) -> NDArray[np.float32]:
    """Mono `[1, n]`, the emotion's pitch with a slow tremor."""
    t = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    wave = 0.4 * np.sin(2 * np.pi * _PITCHES_HZ[look] * t) * (1 + 0.3 * np.sin(40 * t))
    return wave[None].astype(np.float32)


def _write_video(
    path: Path, pictures: list[NDArray[np.uint8]], sound: NDArray[np.float32] | None
) -> None:
    import av

    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        heard = None if sound is None else container.add_stream("aac", rate=RATE_HZ, layout="mono")
        for image in pictures:
            container.mux(video.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(video.encode())
        if heard is not None and sound is not None:
            frame = av.AudioFrame.from_ndarray(sound, "fltp", "mono")
            frame.sample_rate = RATE_HZ
            container.mux(heard.encode(frame))
            container.mux(heard.encode(None))


def _write_sound(path: Path, sound: NDArray[np.float32]) -> None:
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((sound[0] * 32767).astype("<i2").tobytes())
