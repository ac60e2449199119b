"""Small real media files for tests: what is drawn and heard in them is known exactly."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

FPS = 25
VIDEO_CODECS = {".mp4": "libx264", ".webm": "libvpx-vp9", ".avi": "mpeg4", ".mkv": "libx264"}
AUDIO_CODECS = {".mp4": "aac", ".webm": "libopus", ".avi": "libmp3lame", ".mkv": "aac"}


def picture(index: int, count: int, width: int = 64, height: int = 48) -> npt.NDArray[np.uint8]:
    """Frame `index` of `count`: brightness tells the index, the top left quarter is red."""
    image = np.full((height, width, 3), 20 + 200 * index // max(count - 1, 1), np.uint8)
    image[: height // 2, : width // 2] = (255, 0, 0)
    return image


def index_of(image: npt.NDArray[np.uint8], count: int) -> float:
    """The index that `picture` drew, read back from the brightness of the lower right quarter."""
    height, width = image.shape[:2]
    level = float(image[height * 5 // 8 :, width * 5 // 8 :].mean())
    return (level - 20) * max(count - 1, 1) / 200


def tones(duration_s: float, rate: int = 44100) -> npt.NDArray[np.float32]:
    """Stereo [2, n]: a rising tone left, a softer, other one right, so that no shift fits twice."""
    t = np.arange(round(duration_s * rate)) / rate
    left = 0.4 * np.sin(2 * np.pi * (200 + 150 * t) * t)
    right = 0.15 * np.sin(2 * np.pi * (500 + 90 * t) * t + 1)
    return np.stack([left, right]).astype(np.float32)


def make_video(
    path: Path,
    *,
    frames: int = 50,
    size: tuple[int, int] = (64, 48),
    gop: int = 20,
    sound_s: float | None = None,
    sound_from_s: float = 0.0,
    options: dict[str, str] | None = None,
) -> Path:
    """A video at 25 fps whose container and codecs follow the suffix; `sound_s` of stereo tones.

    `options` go to the muxer, for example {"movflags": "faststart"}.
    """
    width, height = size
    with av.open(str(path), "w", options=options or {}) as container:
        codec = {"g": str(gop), "bf": "2"} if path.suffix != ".webm" else {"g": str(gop)}
        video = container.add_stream(VIDEO_CODECS[path.suffix], rate=FPS, options=codec)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        sound = None
        if sound_s:
            rate = 48000 if path.suffix == ".webm" else 44100
            sound = container.add_stream(AUDIO_CODECS[path.suffix], rate=rate, layout="stereo")
        container.start_encoding()
        for index in range(frames):
            image = av.VideoFrame.from_ndarray(picture(index, frames, width, height))
            container.mux(video.encode(image))
        container.mux(video.encode())
        if sound is not None:
            samples = tones(sound_s or 0, sound.rate)
            encode_sound(container, sound, samples, start=round(sound_from_s * sound.rate))
    return path


def encode_sound(container, stream, samples: npt.NDArray[np.float32], *, start: int = 0) -> None:
    """Mux `samples` [channels, n] at the stream's rate, the first one at sample `start`."""
    layout = {1: "mono", 2: "stereo"}[len(samples)]
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", layout)
    frame.sample_rate, frame.pts = stream.rate, start
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def make_sound(path: Path, *, duration_s: float = 2.0, rate: int = 44100) -> Path:
    """Stereo tones as wav, flac or mp3, by the suffix."""
    import soundfile

    soundfile.write(path, tones(duration_s, rate).T, rate)
    return path


def make_image(path: Path, *, size: tuple[int, int] = (64, 48)) -> Path:
    """`picture(1, 2)` as jpg or png, by the suffix."""
    from PIL import Image

    Image.fromarray(picture(1, 2, *size)).save(path)
    return path


def rotate_metadata(path: Path, *, clockwise: int) -> Path:
    """Write a display rotation of 90, 180 or 270 degrees into an mp4's track header, in place."""
    sin, cos = {90: (1, 0), 180: (0, -1), 270: (-1, 0)}[clockwise]
    return display(path, (cos, sin, -sin, cos))


def display(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write the display matrix `(a, b, c, d)` into an mp4's track header, in place."""
    a, b, c, d = (0x10000 * value for value in matrix)
    values = [a, b, 0, c, d, 0, 0, 0, 0x40000000]
    data = bytearray(path.read_bytes())
    # A version 0 track header (ISO/IEC 14496-12, 8.3.2): the matrix is 44 bytes after its name.
    at = data.index(b"tkhd") + 44
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in values)
    path.write_bytes(data)
    return path


def remux(source, path: Path, *, shift_s: float) -> Path:
    """Copy the open container `source` to `path` with every time stamp `shift_s` later."""
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.dts is None:
                continue
            shift = round(shift_s / packet.time_base)
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            packet.stream = streams[packet.stream.index]
            target.mux(packet)
    return path
