"""What `ffmpeg -xerror -i FILE -f null -` says of a file, by the FFmpeg that PyAV brings along."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
from av.container import InputContainer


def strictly(path: Path, audio_decoder: str | None = None) -> str | None:
    """Why FFmpeg would end with an error, or None: the first fault of any packet or frame.

    As the program does it: the best picture and the best sound, all of them, by one thread each.
    A stream without any frame is a fault, too. `audio_decoder` takes the place of the usual one.
    """
    try:
        with av.open(str(path)) as container:
            return next(_faults(container, audio_decoder), None)
    except av.FFmpegError as error:
        return str(error)


def _faults(container: InputContainer, audio_decoder: str | None) -> Iterator[str]:
    found = [container.streams.best("video"), container.streams.best("audio")]
    streams = [stream for stream in found if stream is not None]
    shown = {stream.index: 0 for stream in streams}
    for stream in streams:
        stream.codec_context.thread_count = 1
    other = av.CodecContext.create(audio_decoder, "r") if audio_decoder else None
    assert other is None or isinstance(other, av.AudioCodecContext)
    for packet in container.demux(streams):
        if packet.is_corrupt:
            yield f"a corrupt packet at {packet.pts}"
        if packet.size == 0 and packet.pts is not None:
            continue  # it repeats a frame
        for frame in other.decode(packet) if other else packet.decode():
            shown[packet.stream.index] += 1
            if isinstance(frame, av.VideoFrame | av.AudioFrame) and frame.is_corrupt:
                yield f"a corrupt frame at {frame.time}"
    yield from (f"no frame of stream {index}" for index, frames in shown.items() if not frames)
