"""Frames and sound of files by every backend, held against decoding them plainly with PyAV.

`python -m tests.media.backends FILE...` prints a JSON object of what `judged` finds, and is run in
a process of its own: which libraries torchcodec finds is settled when Python starts, and decoders
crash.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from affect_mllm.media.audio import read_audio
from affect_mllm.media.container import video_stream
from affect_mllm.media.orientation import display_matrix, displayed
from affect_mllm.media.video import Backend, Frames, Sampling, read_frames
from affect_mllm.types import DataError

BACKENDS: tuple[Backend, ...] = ("pyav", "torchcodec", "decord")
SAME_S = 0.003
ROOT = Path(__file__).parents[2]
Small = npt.NDArray[np.int16]


def judged(path: Path) -> dict[str, Any]:
    """By backend, and `BACKEND part` for a window: "right", "refused: …" or what is wrong.

    `BACKEND sound` is its length in seconds, "none" or "refused: …".
    """
    found: dict[str, Any] = {}
    truth = plainly(path)
    for backend in BACKENDS:
        if truth:
            end_s = truth[-1][0]
            windows = {"": {}, " part": {"start_s": 0.4 * end_s, "end_s": 0.8 * end_s}}
            for name, window in windows.items():
                found[backend + name] = _frames(path, truth, backend, window)
        found[f"{backend} sound"] = _sound(path, backend)
    return found


def plainly(path: Path) -> list[tuple[float, Small]]:
    """Every frame in the order decoded: its time from the file's beginning, and every 4th pixel."""
    try:
        with av.open(str(path)) as container:
            stream = video_stream(container)
            if stream is None or container.format.name.endswith("_pipe"):
                return []
            stream.codec_context.thread_count = 1  # several differ in what is damaged
            zero, rate = (container.start_time or 0) / 1e6, float(stream.average_rate or 25)
            by_order = container.format.name == "avi"
            packets = (p for p in container.demux(stream) if p.size or p.pts is None)
            frames = [_small(frame, zero) for packet in packets for frame in packet.decode()]
        return [(at / rate if by_order else time, x) for at, (time, x) in enumerate(frames)]
    except av.FFmpegError:
        return []


def _small(frame: av.VideoFrame, zero: float) -> tuple[float, Small]:
    stored = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    image = displayed(stored, display_matrix(frame))
    return (frame.time or 0.0) - zero, image[::4, ::4].astype(np.int16)


def _frames(path: Path, truth: list[tuple[float, Small]], backend: Backend, window: Any) -> str:
    try:
        got = read_frames(path, Sampling(frames=12), backend=backend, **window)
    except DataError as error:
        return f"refused: {error.got}"
    return _wrong(got, truth, 0.01 if backend == "pyav" else 8.0) or "right"


def _wrong(got: Frames, truth: list[tuple[float, Small]], most: float) -> str | None:
    """What is wrong with frames, of which none may differ by more than `most` levels."""
    times = np.array([time for time, _ in truth])
    for time, image in zip(got.times_s, got.images, strict=True):
        at = int(np.abs(times - time).argmin())
        if abs(times[at] - time) > SAME_S:
            return f"no frame begins at {time:.3f} s"
        near = range(max(0, at - 3), min(len(truth), at + 4))
        off = {i: _difference(truth[i][1], image) for i in near}
        best = min(off, key=lambda i: off[i])
        if off[at] > most or off[best] < 0.5 * off[at] - 0.5:
            return (
                f"at {time:.3f} s differs by {off[at]:.2f}, and by {off[best]:.2f} {best - at} off"
            )
    return None


def _difference(small: Small, image: npt.NDArray[np.uint8]) -> float:
    mine = image[::4, ::4].astype(np.int16)
    return float(np.abs(mine - small).mean()) if mine.shape == small.shape else np.inf


def _sound(path: Path, backend: Backend) -> float | str:
    try:
        heard = read_audio(path, backend=backend)
    except DataError as error:
        return f"refused: {error.got}"
    return "none" if heard is None else len(heard) / 16000


def compare(paths: Sequence[Path], library_path: str) -> dict[str, dict[str, Any]]:
    """`judged` for each file, by its name, with FFmpeg's libraries in `library_path`."""
    environment = {**os.environ, "LD_LIBRARY_PATH": library_path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.media.backends", *map(str, paths)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps({Path(name).name: judged(Path(name)) for name in sys.argv[1:]}))
