"""The packets of a video: which of them show a frame of their own, and what is decoded of them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


def shows(packet: Packet, codec: str) -> bool:
    """Whether a new frame appears with the packet.

    None does with an empty one, which repeats the frame before it (Theora's, AVI's), nor with a
    VP8 or VP9 frame that others only refer to, which some files store as a packet of its own.
    """
    if not packet.size:
        return False
    if codec == "vp8":
        return bool(bytes(packet)[0] & 0x10)  # RFC 6386, 9.1
    if codec == "vp9":
        return vp9_shows(bytes(packet))
    return True


def demuxed(container: InputContainer, *streams: VideoStream | AudioStream) -> Iterator[Packet]:
    """The packets of `streams` from where the container stands, and one to flush each decoder.

    Raises PyAV's errors; damage can also make a stream appear that was not there when the file
    was opened, of which PyAV knows nothing but an IndexError.
    """
    from av.error import InvalidDataError

    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets, None)
        except IndexError as error:
            raise InvalidDataError(errno.EINVAL, "a stream appears inside") from error
        if packet is None:
            return
        yield packet


def decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """The frames from where the container stands; PyAV's errors where they do not decode.

    Empty packets are left out: a decoder takes one for the end of the stream.
    """
    for packet in demuxed(container, stream):
        if packet.size or (packet.pts is None and packet.dts is None):
            yield from packet.decode()


def from_the_beginning(stream: VideoStream) -> bool:
    """Whether frames come out right only if reading starts with the file's first packet.

    Behind a seek, FFmpeg guesses the times of MPEG-PS frames that have no time stamp. In H.264
    4:4:4 it does as x264 did before its build 151, whose streams differ from the standard, and
    which build it was stands in the first packet alone (libavcodec/h264_cabac.c).
    """
    context = stream.codec_context
    if stream.container.format.name == "mpeg":
        return True
    return context.name == "h264" and "444" in (context.pix_fmt or "")


def vp9_shows(data: bytes) -> bool:
    """Whether a VP9 packet has a frame that is shown (6.2 of the bitstream specification)."""
    return any(_shown(frame) for frame in _vp9_frames(data))


def _vp9_frames(data: bytes) -> list[bytes]:
    """The frames of a superframe (annex B), or the only one."""
    marker = data[-1]
    count, width = (marker & 7) + 1, (marker >> 3 & 3) + 1
    index = len(data) - 2 - count * width
    if marker & 0xE0 != 0xC0 or index < 0 or data[index] != marker:
        return [data]
    frames, at = [], 0
    for number in range(count):
        place = index + 1 + number * width
        size = int.from_bytes(data[place : place + width], "little")
        frames.append(data[at : at + size])
        at += size
    return [frame for frame in frames if frame]


def _shown(frame: bytes) -> bool:
    """`show_existing_frame` or `show_frame` of a frame's header."""
    bits = f"{int.from_bytes(frame[:2].ljust(2, bytes(1)), 'big'):016b}"
    at = 5 if bits[2:4] == "11" else 4  # profile 3 has a reserved bit
    return bits[at] == "1" or bits[at + 2] == "1"
