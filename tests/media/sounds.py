"""Sound files that real recorders and careless hands make, and what is heard in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.stream import Disposition

from tests.media import clips

ID3 = b"ID3\x04\x00\x00\x00\x00\x00\x17" + b"TIT2" + bytes(19)  # what a player writes in front


def tone(hz: float, duration_s: float, rate: int) -> npt.NDArray[np.float32]:
    """Mono [1, n]."""
    t = np.arange(round(duration_s * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * hz * t)).astype(np.float32)[None]


def pitch(waveform: npt.NDArray[np.float32], rate: int = 16000) -> float:
    """The strongest frequency in Hz."""
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return float(spectrum.argmax() * rate / len(waveform))


def write(
    path: Path, codec: str, *tracks: npt.NDArray[np.float32], rate: int, default: int = 0
) -> Path:
    """A sound file with mono `tracks` [1, n]; number `default` is the one that players choose."""
    with av.open(str(path), "w") as container:
        made: list[Any] = [container.add_stream(codec, rate=rate) for _ in tracks]
        for number, stream in enumerate(made):
            stream.layout, stream.bit_rate = "mono", 128_000
            stream.disposition = Disposition.default if number == default else 0
        container.start_encoding()
        for stream, samples in zip(made, tracks, strict=True):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", "mono")
            frame.sample_rate, frame.pts = rate, 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def joined(path: Path, *parts: Path, between: bytes = b"") -> Path:
    """The bytes of `parts`, one behind the other."""
    path.write_bytes(between.join(part.read_bytes() for part in parts))
    return path


def noisy(path: Path, source: Path, share: float = 0.5) -> Path:
    """`source` with 250 bytes of noise at `share` of its length."""
    data = bytearray(source.read_bytes())
    at = int(len(data) * share)
    data[at : at + 250] = bytes((i * 97 + 31) % 251 for i in range(250))
    path.write_bytes(bytes(data))
    return path


def without_begin(path: Path, source: Path, until_s: float) -> Path:
    """`source` with zeros for what its packets of sound before `until_s` hold."""
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        for packet in container.demux(audio=0):
            if packet.pos is None or packet.pts is None or packet.time_base is None:
                continue
            if packet.pts * packet.time_base < until_s:
                data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(bytes(data))
    return path


def program_stream(path: Path, sound: npt.NDArray[np.float32], rate: int) -> Path:
    """MPEG-PS, whose seeks go astray: small pictures at 25 fps beside mono `sound` [1, n]."""
    step = rate // clips.FPS
    with av.open(str(path), "w", format="mpeg") as container:
        video: Any = container.add_stream("mpeg1video", rate=clips.FPS)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        audio: Any = container.add_stream("mp2", rate=rate)
        audio.layout = "mono"
        for at in range(0, sound.shape[1], step):
            grey = np.full((32, 32, 3), at // step % 200 + 20, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(grey)))
            pcm = np.ascontiguousarray((sound[:, at : at + step] * 32767).astype(np.int16))
            frame = av.AudioFrame.from_ndarray(pcm, "s16", "mono")
            frame.sample_rate, frame.pts = rate, at
            container.mux(audio.encode(frame))
        container.mux(video.encode())
        container.mux(audio.encode())
    return path


def jittery(path: Path, source: Path, late_s: float) -> Path:
    """`source` with some time stamps `late_s` later, as browsers and cameras write them."""
    with av.open(str(source)) as given, av.open(str(path), "w") as made:
        track = made.add_stream_from_template(given.streams.audio[0])
        for number, packet in enumerate(given.demux(audio=0)):
            if packet.dts is None or packet.pts is None or packet.time_base is None:
                continue
            shift = round(late_s / packet.time_base) if number in (1, 4, 7) else 0
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            packet.stream = track
            made.mux(packet)
    return path
