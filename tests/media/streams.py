"""Videos in forms that seeks and other decoders go wrong with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from tests.media import clips

SIZE = (96, 64)
COUNT = 60  # frames
HIDDEN = (12, 36)


def encode(
    path: Path,
    codec: str,
    *,
    images: Iterable[npt.NDArray[np.uint8]] | None = None,
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    muxer: str | None = None,
) -> Path:
    """`images` (None: 60 of `clips.picture`) at 25 fps; `options` go to the encoder."""
    with av.open(str(path), "w", format=muxer) as container:
        video: Any = container.add_stream(codec, rate=clips.FPS, options=options or {"g": "12"})
        video.width, video.height, video.pix_fmt = *SIZE, pix_fmt
        for image in images if images is not None else map(_picture, range(COUNT)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image))
            container.mux(video.encode(frame.reformat(format=pix_fmt)))
        container.mux(video.encode())
    return path


def _picture(index: int) -> npt.NDArray[np.uint8]:
    return clips.picture(index, COUNT, *SIZE)


def copied(path: Path, *sources: Path) -> Path:
    """The first video of each source as a track of its own."""
    with av.open(str(path), "w") as made:
        given = [av.open(str(source)) for source in sources]
        tracks = [made.add_stream_from_template(each.streams.video[0]) for each in given]
        for container, track in zip(given, tracks, strict=True):
            for packet in container.demux(video=0):
                if packet.dts is not None:
                    packet.stream = track
                    made.mux(packet)
            container.close()
    return path


def hidden_frames(path: Path, codec: str) -> Path:
    """VP8 or VP9 of 60 frames, of which those of `HIDDEN` are decoded and never shown.

    Their bit `show_frame` is cleared: of keyframes, where nothing else depends on it in VP9.
    """
    source = encode(path.with_name(f"shown-{path.name}"), codec)
    bit = 0x10 if codec == "libvpx" else 0x02
    options = {"fflags": "-autobsf"}  # which would put them into one packet with the next
    with av.open(str(source)) as given, av.open(str(path), "w", options=options) as made:
        track = made.add_stream_from_template(given.streams.video[0])
        for number, packet in enumerate(given.demux(video=0)):
            if packet.dts is None:
                continue
            data = bytearray(bytes(packet))
            if number in HIDDEN:
                assert packet.is_keyframe
                assert data[0] & bit
                data[0] &= ~bit
            copy = av.Packet(bytes(data))
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            copy.is_keyframe, copy.stream = packet.is_keyframe, track
            made.mux(copy)
    return path


def _clouds() -> Iterator[npt.NDArray[np.uint8]]:
    """Pictures with detail of all sizes, which drift: all kinds of blocks occur."""
    random, (width, height) = np.random.default_rng(0), SIZE
    sky = gaussian_filter(random.normal(size=(3 * height, 3 * width, 3)), (2, 2, 0))
    sky *= 120 / np.abs(sky).max()
    for index in range(COUNT):
        part = sky[index : index + height, 2 * index : 2 * index + width]
        noisy = 128 + part + random.normal(size=part.shape) * 12
        yield np.clip(noisy, 0, 255).astype(np.uint8)


def of_old_x264(path: Path) -> Path:
    """H.264 4:4:4 that says it was made by a build whose streams are decoded in another way."""
    options = {"g": "12", "crf": "10"}
    encode(path, "libx264", pix_fmt="yuv444p", options=options, images=_clouds())
    data = path.read_bytes()
    at = data.index(b"x264 - core ") + len(b"x264 - core ")
    path.write_bytes(data[:at] + b"148" + data[at + 3 :])
    return path
