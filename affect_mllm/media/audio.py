"""The sound of a media file as a mono float32 waveform, the same whichever library decodes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from affect_mllm.media.container import (
    audio_stream,
    check_in_clip,
    is_image_format,
    is_still,
    need_decoder,
    opened,
    start_of,
    stream_end,
    told_end,
)
from affect_mllm.media.mel import WhisperMel
from affect_mllm.media.packets import demuxed
from affect_mllm.media.raw_sound import check_beginning, ends_inside, told_length
from affect_mllm.media.refusals import undecodable
from affect_mllm.media.resample import downmix, resample, resampled_length
from affect_mllm.media.video import Backend, check_backend
from affect_mllm.types import DataError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.packet import Packet

__all__ = ["WhisperMel", "downmix", "read_audio", "resample", "sound_length"]

# Containers whose headers give the sound's length exactly (an mp3's can be an estimate).
EXACT_LENGTH = (
    *("mov", "wav", "flac", "matroska", "aiff", "au", "nistsphere"),
    *("tta", "wv"),
)
SLACK_S = 0.1  # sound may end this much before what the headers say


@dataclass(frozen=True)
class _Header:
    stream: int  # its number in the file
    zero_s: float
    sound_s: float | None  # None where the headers do not say it exactly
    about_s: float | None  # what the headers say of the whole file, perhaps estimated


def read_audio(
    path: str | Path,
    *,
    sample_rate_hz: int = 16000,
    start_s: float | None = None,
    end_s: float | None = None,
    backend: Backend = "auto",
) -> npt.NDArray[np.float32] | None:
    """The window start_s to end_s of a file's sound: float32 [n], mono, in -1..1.

    None when the file is a video without sound. Times count from the file's beginning, as for
    frames; where the sound begins later than that, silence stands before it, so that the two stay
    together. Channels are averaged (see `downmix`) before resampling. `decord` decodes frames
    only: under it, sound is decoded by PyAV (see media/backends/decord.py for the reason).
    WebM stores whole milliseconds, so a window that begins after its first minute is exact to 1 ms.
    DataError: not media, a picture, 0 s of sound, NaN or infinity in it, truncated, or a window
    outside the clip.
    """
    heard = _heard(Path(path), start_s, end_s, backend=backend)
    return None if heard is None else resample(*heard, sample_rate_hz)


def sound_length(
    path: str | Path,
    *,
    sample_rate_hz: int = 16000,
    start_s: float | None = None,
    end_s: float | None = None,
    backend: Backend = "auto",
) -> int | None:
    """How many samples `read_audio` gives. It decodes, too: headers are not exact to a sample."""
    heard = _heard(Path(path), start_s, end_s, backend=backend)
    if heard is None:
        return None
    waveform, rate = heard
    return resampled_length(len(waveform), rate, sample_rate_hz)


def _heard(
    path: Path, start_s: float | None, end_s: float | None, *, backend: Backend
) -> tuple[npt.NDArray[np.float32], int] | None:
    """The window's waveform at the file's own rate, and that rate."""
    check_backend(backend)
    header = _header(path)
    if header is None:
        return None
    if start_s is not None or end_s is not None:
        check_in_clip(path, start_s, end_s)
    waveform, rate, first_s = _decode(path, header, start_s, end_s, backend=backend)
    if not len(waveform):
        raise DataError(
            str(path), "sound of 0 s", expected="samples", fix="give a longer or complete file"
        )
    _check_complete(path, header, end_s, got_s=first_s + len(waveform) / rate)
    waveform = _cut(waveform, rate, first_s=first_s, start_s=start_s or 0.0, end_s=end_s)
    if not len(waveform):
        raise DataError(
            str(path),
            f"no sound after {start_s:g} s" if start_s else "no sound in the window",
            expected="a window before the sound's end",
            fix="correct start_s and end_s",
        )
    _check_finite(path, waveform, rate, start_s or 0.0)
    return waveform, rate


def _check_finite(path: Path, waveform: npt.NDArray[np.float32], rate: int, start_s: float) -> None:
    bad = np.flatnonzero(~np.isfinite(waveform))
    if len(bad):
        raise DataError(
            str(path),
            f"{len(bad)} samples of its sound are NaN or infinity, the first at"
            f" {start_s + bad[0] / rate:.3f} s",
            expected="finite numbers",
            fix="write it again from the recording",
        )


def _header(path: Path) -> _Header | None:
    with opened(path) as container:
        name = container.format.name
        if is_image_format(name) or is_still(path):
            raise DataError(str(path), "a picture, not sound", fix="give it as `image`")
        stream = audio_stream(container)
        if stream is None:
            if not container.streams.video:
                raise DataError(str(path), "neither video nor sound", expected="a media file")
            return None
        need_decoder(stream, path)
        exact = name.startswith(EXACT_LENGTH)
        if name == "wav":
            _check_riff(path, stream.bit_rate or 0)
        first = next(demuxed(container, stream), None)
        check_beginning(path, name, stream, first)
        sound_s = stream_end(container, stream) if exact else None
        if sound_s is not None:
            sound_s -= _skipped(stream, first)
        if name == "mp3":
            sound_s = told_length(path)
        about_s = container.duration / 1e6 if container.duration is not None else None
        return _Header(stream.index, start_of(container), sound_s, about_s)


def _skipped(stream: AudioStream, first: Packet | None) -> float:
    """Seconds that the stream starts later only because its decoder drops them (iTunes' priming).

    Its length counts them; that of an edit list, before whose start packets have negative times,
    does not.
    """
    start, unit = stream.start_time, stream.time_base
    if first is None or first.pts is None or start is None or unit is None:
        return 0.0
    return float((start - first.pts) * unit) if 0 <= first.pts < start else 0.0


def _check_riff(path: Path, bits_per_s: int) -> None:
    """DataError for a wav that is shorter than it says; FFmpeg takes what is there as the whole."""
    with path.open("rb") as file:
        claimed = int.from_bytes(file.read(8)[4:], "little") + 8
    missing = claimed - path.stat().st_size
    # A wav that was written to a pipe claims the largest size there is.
    if missing > 1 and claimed < 0x7FFF0000:
        raise DataError(
            str(path),
            f"{missing * 8 / max(bits_per_s, 1):.2f} s of sound are missing: truncated",
            expected=f"{claimed} bytes, as its header says",
            fix="copy or record it again",
        )


def _decode(
    path: Path,
    header: _Header,
    start_s: float | None,
    end_s: float | None,
    *,
    backend: Backend,
) -> tuple[npt.NDArray[np.float32], int, float]:
    if backend == "torchcodec":
        from affect_mllm.media.backends import torchcodec

        samples, rate, first_s = torchcodec.decode_audio(path, header.stream, header.zero_s)
        waveform = downmix(samples)
        end_s = first_s + len(waveform) / rate
        # It ends WMA, APE and Musepack early, in silence. What PyAV hears is not compared.
        about_s = header.about_s or 0.0
        if header.sound_s is None and end_s < about_s - SLACK_S:
            reason = f"it gives {end_s:.2f} of {about_s:.2f} s of sound"
            raise undecodable("torchcodec", path, reason)
        _check_end(path)
        return waveform, rate, first_s
    from affect_mllm.media.backends import pyav_sound

    return pyav_sound.decode_audio(path, start_s, end_s, known_s=header.sound_s)


def _check_end(path: Path) -> None:
    """DataError where the file ends inside its last frame or page, which torchcodec passes over."""
    at = 0
    with opened(path) as container:
        for packet in demuxed(container, *container.streams.audio):
            at = at if packet.pos is None else packet.pos
        if ends_inside(path, container.format.name, at):
            raise undecodable("torchcodec", path, "it ends inside its last piece: cut off")


def _check_complete(path: Path, header: _Header, end_s: float | None, *, got_s: float) -> None:
    sound_s = header.sound_s
    if sound_s is None and (end_s is None or got_s < end_s - SLACK_S):
        with opened(path) as container:
            sound_s = told_end(path, container, got_s=got_s)
    if sound_s is None:
        return
    needed = sound_s if end_s is None else min(end_s, sound_s)
    if got_s < needed - SLACK_S:
        raise DataError(
            str(path),
            f"{got_s:.2f} of {sound_s:.2f} s of sound decoded: the file is truncated",
            expected="a complete file",
            fix="copy or record it again",
        )


def _cut(
    waveform: npt.NDArray[np.float32],
    rate: int,
    *,
    first_s: float,
    start_s: float,
    end_s: float | None,
) -> npt.NDArray[np.float32]:
    """The samples of start_s to end_s, silence standing where sound begins later than start_s."""
    skip = round((start_s - first_s) * rate)
    if skip < 0:
        waveform = np.concatenate([np.zeros(-skip, np.float32), waveform])
    else:
        waveform = waveform[skip:]
    return waveform if end_s is None else waveform[: round((end_s - start_s) * rate)]
