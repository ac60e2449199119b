"""Sound without a container: what stands before its first frame, and how long it says it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from affect_mllm.types import DataError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.packet import Packet

# Demuxers that search for their first frame, and how one begins.
SYNC = {
    "mp3": (b"\xff\xe0", b"\xff\xe0"),
    "aac": (b"\xff\xf0", b"\xff\xf0"),
    "loas": (b"\xff\xe0", b"\x56\xe0"),
    "ac3": (b"\xff\xff", b"\x0b\x77"),
    "eac3": (b"\xff\xff", b"\x0b\x77"),
}
TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICS")  # also in the middle of files that were joined
EDGE_S = 0.1  # a recording may begin and end inside a packet
TORN = frozenset({"amr", "loas"})  # whose decoders say that a frame is cut
RATES_HZ = (44100, 48000, 32000)
# Of layer III in kbit/s, by the header's number: MPEG-1, and MPEG-2 and 2.5.
BITRATES = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
)
AC3_KBIT = (*range(32, 64, 8), *range(64, 128, 16), *range(128, 256, 32), *range(256, 641, 64))
PAGE = 27 + 255 + 255 * 255  # bytes of Ogg's largest page
SPARE_FRAMES = 4  # decoders drop the encoder's delay and what fills up the last frame


def check_beginning(path: Path, name: str, stream: AudioStream, first: Packet | None) -> None:
    """DataError where more than 0.1 s of other bytes stand before the `first` packet.

    FFmpeg passes over them, so that a recording whose beginning was overwritten starts later.
    """
    if name not in SYNC or first is None or first.pos is None or not stream.bit_rate:
        return
    with path.open("rb") as file:
        begin = _behind_tags(file.read(1 << 20))
        file.seek(begin)
        found = file.read(2)
    mask, sync = SYNC[name]
    lost_s = (first.pos - begin) * 8 / stream.bit_rate
    if lost_s > EDGE_S and bytes(a & b for a, b in zip(found, mask, strict=False)) != sync:
        raise DataError(
            str(path),
            f"its beginning is damaged: {first.pos - begin} bytes before its first frame"
            f" are no sound, which would be {lost_s:.2f} s",
            expected="a complete file",
            fix="copy or record it again",
        )


def surplus(path: Path, name: str, stream: AudioStream, end: int) -> float:
    """Seconds of sound that could stand behind byte `end`, where the last packet ends: no tag."""
    if name not in SYNC or not stream.bit_rate:
        return 0.0
    with path.open("rb") as file:
        file.seek(end)
        rest = file.read(1 << 20)
    return 0.0 if any(tag in rest for tag in TAGS) else len(rest) * 8 / stream.bit_rate


def ends_inside(path: Path, name: str, at: int) -> bool:
    """Whether a file ends inside a frame (mp3, AAC, AC-3; one begins at byte `at`) or page (Ogg).

    Decoders may make sound of what is left of it. Layouts: ISO 11172-3, 2.4.1.3; ISO 13818-7, 6.2;
    ETSI TS 102 366, 4.4 and E.1.2; RFC 3533, 6.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if name in _FRAME_BYTES:
            length = 1
            while length:  # E-AC-3 has several frames in a packet
                file.seek(at)
                length = _FRAME_BYTES[name](file.read(6).ljust(6, bytes(1)))
                at += length
            return at > size
        if name != "ogg":
            return False
        file.seek(max(0, size - PAGE))
        page = file.read()
    page = page[page.rfind(b"OggS\0") :]
    lengths = page[27 : 27 + page[26]] if len(page) > 26 else b""
    return len(page) <= 26 or len(page) < 27 + page[26] + sum(lengths)


def _mp3_bytes(head: bytes) -> int:
    """How long a frame is, by its header; 0 for what is none."""
    if head[0] != 0xFF or head[1] & 0xE6 != 0xE2 or head[2] & 0x0C == 0x0C:
        return 0
    version, padded = head[1] >> 3 & 3, head[2] >> 1 & 1
    rate = RATES_HZ[head[2] >> 2 & 3] >> {3: 0, 2: 1}.get(version, 2)
    bits_per_s = 1000 * BITRATES[version != 3][head[2] >> 4]
    return (144 if version == 3 else 72) * bits_per_s // rate + padded


def _ac3_bytes(head: bytes) -> int:
    rate, code = head[4] >> 6, head[4] & 0x3F
    if head[:2] != b"\x0b\x77":
        return 0
    if head[5] >> 3 > 10:  # E-AC-3
        return 2 * ((head[2] & 7) << 8 | head[3]) + 2
    if rate > 2 or code > 37:
        return 0
    kbit = AC3_KBIT[code >> 1]
    return (4 * kbit, 2 * (kbit * 96000 // 44100 + (code & 1)), 6 * kbit)[rate]


def _adts_bytes(head: bytes) -> int:
    return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5 if head[0] == 0xFF else 0


_FRAME_BYTES = {"mp3": _mp3_bytes, "aac": _adts_bytes, "ac3": _ac3_bytes, "eac3": _ac3_bytes}


def told_length(path: Path) -> float | None:
    """Seconds that an mp3 lasts at least, by the Xing or Info header of its encoder, or None.

    FFmpeg mistrusts that header where the file is shorter than it says.
    """
    with path.open("rb") as file:
        head = file.read(1 << 20)
    begin = _behind_tags(head)
    frame = head[begin : begin + 64]
    if len(frame) < 64 or frame[0] != 0xFF or frame[1] & 0xE6 != 0xE2 or frame[2] & 0x0C == 0x0C:
        return None  # not a frame of layer III
    version, mono = frame[1] >> 3 & 3, frame[3] >> 6 == 3
    rate = RATES_HZ[frame[2] >> 2 & 3] >> {3: 0, 2: 1}.get(version, 2)
    side, samples = ((17 if mono else 32), 1152) if version == 3 else ((9 if mono else 17), 576)
    tag = frame[4 + side :]
    if tag[:4] not in (b"Xing", b"Info") or not tag[7] & 1:
        return None
    frames = int.from_bytes(tag[8:12], "big") - SPARE_FRAMES
    return frames * samples / rate if frames > 0 else None


def _behind_tags(head: bytes) -> int:
    """Where the sound begins, behind ID3v2 and APEv2 tags (id3.org, id3v2.4.0-structure, 3.1)."""
    at = 0
    while True:
        part = head[at : at + 32]
        if part[:3] == b"ID3" and len(part) > 10:
            size = sum((byte & 0x7F) << 7 * (3 - n) for n, byte in enumerate(part[6:10]))
            at += 10 + size + (10 if part[5] & 0x10 else 0)
        elif part[:8] == b"APETAGEX":
            at += 32 + int.from_bytes(part[12:16], "little")
        else:
            return at
