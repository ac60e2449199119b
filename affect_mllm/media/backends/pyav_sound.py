"""Decoding sound with PyAV: every packet by itself, so that none can end the sound in silence."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from affect_mllm.media.container import BACK_S, need_sound, opened, start_of, strictly, went_back
from affect_mllm.media.packets import demuxed
from affect_mllm.media.raw_sound import EDGE_S, TAGS, TORN, ends_inside, surplus
from affect_mllm.media.resample import downmix, resample
from affect_mllm.types import DataError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

PREROLL_S = 0.5  # decoded before a window, so that lossy audio codecs have settled when it begins
# Windows that begin earlier are decoded from the file's beginning, where the place of a sample is
# counted and not taken from time stamps, which Matroska rounds to 1 ms.
SEEK_BEYOND_S = 60.0
GAP_S = 0.02  # smaller differences between time stamps and counted samples are rounding
# Stamps that are late, and right again within this time, jitter as browsers' do: no gap.
JITTER_S = 1.0
# Streams without time stamps: FFmpeg counts packets of their nominal length, and we samples.
COUNTED = frozenset({"aac", "ac3", "amr", "dts", "eac3", "flac", "loas", "mp3", "wav"})
# Demuxers whose decoders stamp what they held back with the time of a later packet.
LATE = frozenset({"asf"})
MANY_CHANNELS = 8  # PyAV reads beyond the planes of a planar frame that has more than seven


@dataclass
class _Track:
    """What was heard so far: mono pieces at their rates, and packets that do not decode.

    `late_s`: by how much each piece's time stamp is behind the samples that were counted.
    `torn`: the last packet did not decode, of a format where that means that its end is missing.
    `first_s`, `heard_s`: when the sound begins (None: not yet), and how much of it there is.
    """

    path: Path
    name: str
    pieces: list[tuple[int, npt.NDArray[np.float32]]] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    first_s: float | None = None
    heard_s: float = 0.0
    untimed: bool = False
    torn: bool = False
    tagged: bool = False  # inside a tag, of which no packet decodes
    done: bool = False  # what comes behind is not wanted
    last: tuple[int, int] = (0, 0)  # the bytes at which the last packet begins and ends
    broken: str | None = None  # why nothing more could be read
    lost: list[tuple[float, float]] = field(default_factory=list)  # when, how long in seconds

    @property
    def counted(self) -> bool:
        """Whether samples are counted, since there are no time stamps."""
        return self.name in COUNTED

    def add(self, frame: AudioFrame, now_s: float | None) -> None:
        """Append a frame."""
        self.tagged = self.torn = False
        if self.first_s is None:
            self.first_s = now_s or 0.0
        self.untimed |= now_s is None
        expected_s = self.first_s + self.heard_s
        self.late_s.append(0.0 if now_s is None or self.counted else now_s - expected_s)
        rate, samples = frame.sample_rate, downmix(_samples(frame))
        self.pieces.append((rate, samples))
        self.heard_s += len(samples) / rate

    def fill(self) -> None:
        """Put silence where time stamps leave a gap, which means that they stay late."""
        lengths_s = [len(samples) / rate for rate, samples in self.pieces]
        silent_s = 0.0
        for at, late_s in enumerate(_least_ahead(self.late_s, lengths_s)):
            rate, samples = self.pieces[at]
            gap = round((late_s - silent_s) * rate)
            if gap > GAP_S * rate:
                self.pieces[at] = rate, np.concatenate([np.zeros(gap, np.float32), samples])
                silent_s += gap / rate
        self.heard_s += silent_s

    def miss(self, packet: Packet, now_s: float, *, bits_per_s: int) -> None:
        """Note a packet that does not decode; one that holds no sound is passed over.

        What is no frame comes as one packet of any length where there are no time stamps.
        """
        data = bytes(packet)
        size = min((at for tag in TAGS if (at := data.find(tag)) >= 0), default=packet.size)
        if size > 1 and not self.tagged:
            length = float((packet.duration or 0) * (packet.time_base or 0))
            if self.counted and bits_per_s:
                length = max(length if size == packet.size else 0.0, size * 8 / bits_per_s)
            self.lost.append((now_s, length))
            self.torn = size == packet.size and self.name in TORN
        self.tagged |= size < packet.size

    def check(self, start_s: float, *, done: bool, known_s: float | None) -> None:
        """DataError for packets lost at or after `start_s`, but for torn edges of the recording.

        Without time stamps, what is behind a loss stands nobody knows where, so that an earlier
        one counts too. `done`: what comes behind is not wanted, and the last packet is no edge.
        `known_s`: the sound's length, if it is known; what stands behind that is none.
        """
        start_s = -math.inf if self.counted else start_s
        if self.first_s is None:
            return  # nothing was heard, which the caller says
        end_s = self.first_s + self.heard_s
        inside = [each for each in self.lost if sum(each) > start_s]
        head = [each for each in inside if each[0] < self.first_s]
        if _length(head) <= EDGE_S:
            inside = inside[len(head) :]
        tail = [each for each in inside if each[0] >= end_s - GAP_S]
        whole = known_s is not None and end_s >= known_s - EDGE_S
        if not done and (whole or (_length(tail) <= EDGE_S and not self.torn)):
            inside = inside[: len(inside) - len(tail)]
        if inside:
            lost_s = _length(inside)
            raise DataError(
                str(self.path),
                f"its sound is damaged at {inside[0][0]:.2f} s: {lost_s:.2f} s of it do not decode",
                expected="a complete file",
                fix="copy or record it again",
            )
        if self.broken is not None and known_s is None and not done:
            raise DataError(
                str(self.path),
                f"its sound cannot be read behind {end_s:.2f} s ({self.broken})",
                expected="a complete file",
                fix="copy or record it again",
            )

    def waveform(self) -> tuple[npt.NDArray[np.float32], int]:
        """Everything as float32 [n] at the first piece's rate, which is returned with it."""
        if not self.pieces:
            return np.zeros(0, np.float32), 0
        first = self.pieces[0][0]
        return np.concatenate([resample(*run, first) for run in self._runs()]), first

    def _runs(self) -> Iterator[tuple[npt.NDArray[np.float32], int]]:
        """Stretches of one rate, so that each is resampled as a whole."""
        begin = 0
        for end in range(1, len(self.pieces) + 1):
            if end == len(self.pieces) or self.pieces[end][0] != self.pieces[begin][0]:
                rate = self.pieces[begin][0]
                yield np.concatenate([part for _, part in self.pieces[begin:end]]), rate
                begin = end


def _least_ahead(values: list[float], lengths_s: list[float]) -> Iterator[float]:
    """Of each value the least from it on, within `JITTER_S`; `lengths_s` are the steps between.

    The last one, which nothing behind it confirms, is at most the one before it.
    """
    values = [*values[:-1], min(values[-2:])] if values else values
    starts_s = np.cumsum([0.0, *lengths_s])
    coming: deque[int] = deque()  # of rising values, so that the first is the least
    until = 0
    for at in range(len(values)):
        while until < len(values) and starts_s[until] <= starts_s[at] + JITTER_S:
            while coming and values[coming[-1]] >= values[until]:
                coming.pop()
            coming.append(until)
            until += 1
        while coming[0] < at:
            coming.popleft()
        yield values[coming[0]]


def _length(lost: list[tuple[float, float]]) -> float:
    return sum(length for _, length in lost)


def decode_audio(
    path: Path, start_s: float | None, end_s: float | None, *, known_s: float | None = None
) -> tuple[npt.NDArray[np.float32], int, float]:
    """The sound that is heard by default: mono samples [n] in -1..1, Hz, time of the first one.

    What is returned covers the window (None: everything) and may be longer at both ends. Where the
    time stamps leave a gap, silence stands. Where the rate changes, the first one's holds.
    `known_s`: what the headers say of its length. DataError where a packet inside does not decode,
    or where the clock starts again.
    """
    with opened(path) as container:
        stream = need_sound(container, path)
        strictly(stream)
        late = container.format.name in LATE
        begin = start_s or 0.0
        if begin > SEEK_BEYOND_S and not late:
            container.seek(int((begin - PREROLL_S + start_of(container)) * 1_000_000))
            track = _heard(path, container, stream, end_s=end_s)
            if track.first_s is None or track.first_s > begin:
                container.seek(0)  # a container whose index misleads the seek
                track = _heard(path, container, stream, end_s=end_s)
        else:
            track = _heard(path, container, stream, end_s=None if late else end_s)
        track.check(begin, done=track.done, known_s=known_s)
        first_s = track.first_s or 0.0
        if track.untimed and late and container.duration is not None:
            surplus_s = first_s + track.heard_s - container.duration / 1e6
            first_s = max(0.0, first_s - max(0.0, surplus_s))
    return *track.waveform(), first_s


def _heard(
    path: Path,
    container: InputContainer,
    stream: AudioStream,
    *,
    end_s: float | None,
) -> _Track:
    """The stream from where the container stands to `end_s` (None: its end)."""
    from av.error import FFmpegError

    track = _Track(path, container.format.name)
    zero, end_s = start_of(container), math.inf if end_s is None else end_s
    bits_per_s = stream.bit_rate or 0
    try:
        for packet, now_s in _packets(path, container, stream, until_s=end_s):
            if packet.is_corrupt and container.format.name != "mpegts":
                track.broken = "its last packet is not whole"
            if packet.pos is not None:
                track.last = packet.pos, packet.pos + packet.size
            try:
                frames = packet.decode()
            except FFmpegError:
                if now_s <= end_s:
                    track.miss(packet, now_s, bits_per_s=bits_per_s)
                continue
            for frame in frames:
                frame_s = None if frame.time is None else frame.time - zero
                track.add(frame, frame_s)
                track.done |= frame_s is not None and frame_s > end_s
            if now_s > end_s + JITTER_S:
                break
    except FFmpegError as error:
        track.broken = error.strerror
    track.fill()
    if not track.done:
        rest_s = surplus(path, track.name, stream, track.last[1])
        track.lost.append(((track.first_s or 0.0) + track.heard_s, rest_s))
        if track.broken is None and ends_inside(path, track.name, track.last[0]):
            track.broken = "it ends inside its last piece: cut off"
    return track


def _packets(
    path: Path, container: InputContainer, stream: AudioStream, *, until_s: float
) -> Iterator[tuple[Packet, float]]:
    """Packets with their times in seconds. DataError where the clock starts again.

    They end there, too, if it is behind `until_s`, where nothing is wanted.
    """
    at_s, last_s, zero = 0.0, -math.inf, start_of(container)
    for packet in demuxed(container, stream):
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None and packet.time_base is not None:
            at_s = float(stamp * packet.time_base) - zero
            if at_s < last_s - BACK_S and last_s > until_s:
                return
            if at_s < last_s - BACK_S:
                raise went_back(path, last_s, at_s)
            last_s = max(last_s, at_s)
        yield packet, at_s


def _samples(frame: AudioFrame) -> npt.NDArray[np.float32]:
    """[channels, n] float32 in -1..1 from any sample format."""
    channels = frame.layout.nb_channels
    if frame.format.is_planar and channels >= MANY_CHANNELS:
        frame = _packed(frame)
    raw = frame.to_ndarray()
    if not frame.format.is_planar:
        raw = raw.reshape(-1, channels).T
    zero, full_scale = {"uint8": (128, 2**7), "int16": (0, 2**15), "int32": (0, 2**31)}.get(
        raw.dtype.name, (0, 1)
    )
    return ((raw.astype(np.float64) - zero) / full_scale).astype(np.float32)


def _packed(frame: AudioFrame) -> AudioFrame:
    """The same samples, channel beside channel instead of behind it."""
    from av.audio.resampler import AudioResampler

    name = frame.format.name.removesuffix("p")
    made = AudioResampler(format=name, layout=frame.layout, rate=frame.sample_rate)
    (packed,) = made.resample(frame)
    return packed
