"""Opening a media file with PyAV: what is in it, and every bad file as one clear DataError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from affect_mllm.media.complaints import hush
from affect_mllm.media.encrypted import (
    ENTRIES,
    encrypted,
    has_entry,
    lacks_index,
    refuse_encrypted,
)
from affect_mllm.media.lfs import IS_POINTER, PULL, is_pointer
from affect_mllm.media.near import near
from affect_mllm.media.packets import demuxed
from affect_mllm.types import DataError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

READABLE = "a media file: mp4, webm, avi, wav, flac, mp3, jpg or png"
# Demuxers that take a text file for "media": `tty` draws it, the others open the files it names.
REFUSED_FORMATS = frozenset({"tty", "concat", "hls", "dash", "sdp", "lavfi"})
STILL_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif"})
BACK_S = 0.5  # a clock that falls by less is a demuxer's rounding, or its guess after a seek
WINDOW_SLACK_S = 0.1  # manifests round their times; a window may end this much after the clip


@dataclass(frozen=True)
class MediaInfo:
    """What a file's headers say; `width` and `height` in pixels as displayed (rotation applied).

    `duration_s` is None for a picture; `width`, `height`, `fps` are None where there is no video.
    """

    kind: Literal["video", "audio", "image"]
    duration_s: float | None
    has_video: bool
    has_audio: bool
    width: int | None = None
    height: int | None = None
    fps: float | None = None


def check_file(path: Path) -> None:
    """Raise DataError unless `path` is a file that is there and not empty."""
    where = str(path)
    if path.is_dir():
        raise DataError(where, "a directory", expected=READABLE, fix="name one file")
    if not path.is_file():
        meant = near(path)
        fix = f"did you mean {meant}?" if meant else "correct the path"
        raise DataError(where, "no such file", expected=READABLE, fix=fix)
    if path.stat().st_size == 0:
        raise DataError(where, "an empty file (0 bytes)", expected=READABLE, fix="fetch it again")
    if is_pointer(path, path.stat().st_size):
        raise DataError(where, IS_POINTER, expected=READABLE, fix=PULL)


def is_still(path: Path) -> bool:
    """True for a HEIC or AVIF picture, which FFmpeg opens as a video of one frame.

    By the first brand of the file's `ftyp` box (ISO/IEC 23008-12, annex B; AVIF 1.1, 3);
    sequences of pictures have others.
    """
    with path.open("rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in STILL_BRANDS


def is_image_format(format_name: str) -> bool:
    """True for the demuxers of single pictures (`image2`, `png_pipe`, `jpeg_pipe` …)."""
    return format_name == "image2" or format_name.endswith("_pipe")


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """The open PyAV container of `path`, with FFmpeg's own messages kept off the terminal.

    Every FFmpeg error inside the `with` leaves as a DataError that names the file.
    """
    import av
    from av.error import FFmpegError

    check_file(path)
    hush()
    try:
        # "file:" keeps a name like "a:b.mp4" from being read as a protocol.
        with av.open(f"file:{path}", metadata_errors="ignore") as container:
            if container.format.name in REFUSED_FORMATS:
                raise DataError(str(path), "a text file, not media", expected=READABLE)
            yield container
    except FFmpegError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    if has_entry(path, *ENTRIES.values()):
        return encrypted(path)
    if lacks_index(path):
        return DataError(
            str(path),
            "an mp4 whose index (the moov box) is missing: the file is truncated",
            expected="a complete file",
            fix="copy or record it again",
        )
    reason = getattr(error, "strerror", None) or str(error)
    if isinstance(error, EOFError):
        reason = "headers with nothing behind them: 0 s"
    return DataError(
        str(path), f"cannot be read as media ({reason})", expected=READABLE, fix="fetch it again"
    )


def start_of(container: InputContainer) -> float:
    """Seconds that the file's own clock shows at its beginning; subtracted from every time."""
    return (container.start_time or 0) / 1e6


def video_stream(container: InputContainer) -> VideoStream | None:
    """The first video stream that is not a cover picture, or None."""
    from av.stream import Disposition

    cover = Disposition.attached_pic
    return next((s for s in container.streams.video if not s.disposition & cover), None)


def audio_stream(container: InputContainer) -> AudioStream | None:
    """The audio stream that is heard by default: the one marked so, else the first, or None."""
    from av.stream import Disposition

    streams = container.streams.audio
    marked = (s for s in streams if s.disposition & Disposition.default)
    return next(marked, streams[0] if streams else None)


def need_sound(container: InputContainer, path: Path) -> AudioStream:
    """The audio stream that is heard, with a decoder; DataError where there is none."""
    stream = audio_stream(container)
    if stream is None:
        raise DataError(str(path), "no sound", expected="a file with sound")
    need_decoder(stream, path)
    return stream


def strictly(stream: VideoStream | AudioStream) -> None:
    """Let the decoder say what is damaged instead of concealing it, on one thread.

    Parallelism belongs to the loader's workers.
    """
    stream.codec_context.options = {"err_detect": "explode"}
    stream.codec_context.thread_count = 1


def went_back(path: Path, from_s: float, to_s: float) -> DataError:
    """The error for recordings that were put one behind the other, each with a clock of its own."""
    return DataError(
        str(path),
        f"its clock goes back from {from_s:.2f} s to {to_s:.2f} s: joined recordings",
        expected="one recording",
        fix="join them anew (ffmpeg -f concat), or give them as two files",
    )


def need_video(container: InputContainer, path: Path) -> VideoStream:
    """The video stream with a decoder; DataError for a picture, sound only, or no decoder."""
    if is_image_format(container.format.name) or is_still(path):
        raise DataError(
            str(path), "a picture, not a video", expected="a video", fix="give it as `image`"
        )
    stream = video_stream(container)
    if stream is None:
        raise DataError(
            str(path),
            "no video stream" + (" (sound only)" if container.streams.audio else ""),
            expected="a file with video",
            fix="give it as `audio`" if container.streams.audio else "give another file",
        )
    need_decoder(stream, path)
    return stream


def need_decoder(stream: VideoStream | AudioStream, path: Path) -> None:
    """DataError when `stream` is encrypted, or this FFmpeg has no decoder for it."""
    from av.codec.codec import Codec, UnknownCodecError

    refuse_encrypted(path, stream)
    # PyAV has no codec context at all for a stream it has no decoder for.
    context = stream.codec_context
    missing = context is None
    if context is not None:
        try:
            Codec(context.name, "r")
        except UnknownCodecError:
            missing = True
    if missing:
        name = context.name if context is not None else "unknown codec"
        raise DataError(
            str(path),
            f"no decoder for its {stream.type} stream ({name})",
            expected="a codec that this FFmpeg build decodes",
            fix="convert the file, for example to H.264 and AAC in mp4",
        )


def stream_end(container: InputContainer, stream: VideoStream | AudioStream) -> float | None:
    """Seconds from the file's beginning at which the headers say that `stream` ends, or None."""
    time_base = stream.time_base
    if container.format.name == "avi" and stream.type == "video" and stream.frames:
        # FFmpeg lowers an AVI's duration to what a truncated file holds; the frame count stays.
        return float(stream.frames / (stream.average_rate or 25))
    if stream.duration is not None and time_base is not None:
        start = float((stream.start_time or 0) * time_base)
        return start + float(stream.duration * time_base) - start_of(container)
    # Matroska and WebM write "00:00:02.000000000". FFmpeg means the last time stamp by it, others
    # the length: the smaller reading, so that no whole file is called truncated.
    parts = stream.metadata.get("DURATION", "").split(":")
    if len(parts) == 3:
        end_s = int(parts[0]) * 3600 + int(parts[1]) * 60 + float(parts[2])
        return end_s - start_of(container)
    if len(container.streams) == 1 and container.duration is not None:
        return container.duration / 1e6 - start_of(container)
    return None


def check_in_clip(path: Path, start_s: float | None, end_s: float | None) -> None:
    """DataError unless the window lies in the clip, whose header may say less than there is.

    Muxers sum up durations in decoding order, in which the last frame may not be the last shown.
    """
    with opened(path) as container:
        header_s = container.duration / 1e6 if container.duration is not None else None
    try:
        check_window(path, start_s, end_s, duration_s=header_s)
    except DataError:
        found_s = end_of_packets(path)
        if header_s is None or found_s <= header_s:
            raise
        check_window(path, start_s, end_s, duration_s=found_s)


def told_end(path: Path, container: InputContainer, *, got_s: float) -> float | None:
    """Seconds that Matroska's header gives for the whole file, if all of its streams end before it.

    None where one lasts that long: the one that was read, to `got_s`, or another.
    """
    if not container.format.name.startswith("matroska") or container.duration is None:
        return None
    told_s = container.duration / 1e6 - start_of(container)
    if got_s > told_s - WINDOW_SLACK_S or end_of_packets(path) > told_s - WINDOW_SLACK_S:
        return None
    return told_s


def end_of_packets(path: Path) -> float:
    """Seconds from the file's beginning at which the last packet of picture or sound ends."""
    from av.error import FFmpegError

    last_s = 0.0
    with opened(path) as container:
        streams = [*container.streams.video, *container.streams.audio]
        try:
            for packet in demuxed(container, *streams):
                if packet.pts is not None and packet.time_base is not None:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
                    last_s = max(last_s, float(end))
        except FFmpegError:
            pass  # what cannot be read is not there
        return last_s - start_of(container)


def check_window(
    path: Path, start_s: float | None, end_s: float | None, *, duration_s: float | None
) -> None:
    """DataError unless 0 <= start < end and the window lies in the clip (0.1 s of slack)."""
    start = 0.0 if start_s is None else start_s
    got = f"the window {start:g} s to {'the end' if end_s is None else f'{end_s:g} s'}"
    if start < 0 or (end_s is not None and end_s <= start):
        raise DataError(str(path), got, expected="0 <= start_s < end_s", fix="correct the times")
    if duration_s is None:
        return
    if start >= duration_s or (end_s is not None and end_s > duration_s + WINDOW_SLACK_S):
        raise DataError(
            str(path),
            f"{got}, outside the clip",
            expected=f"times within 0 to {duration_s:.3f} s",
            fix="correct start_s and end_s",
        )
