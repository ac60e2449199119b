"""Is a media file whole? Everything in it is decoded, and every complaint of a decoder counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from affect_mllm.media.container import is_image_format, opened, start_of, video_stream
from affect_mllm.types import DataError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.frame import Frame

AUDIO_GAP_S = 0.05  # sound that is not there; time stamps are rounded by less
FIX = "copy or record it again"


def check_media(path: Path, kind: str) -> float | None:
    """Decode all of a `video`, `audio` or `image` file; its length in seconds, None of a picture.

    What training does is done (`read_frames`, `read_audio`, `read_image`), and then each frame of
    each stream is decoded strictly, since FFmpeg otherwise conceals damage. DataError says what is
    wrong. Changed samples of uncompressed sound can't be told from sound, nor a lost piece of an
    AVI from one that was never there.
    """
    from affect_mllm.media.audio import read_audio
    from affect_mllm.media.video import Sampling, read_frames, read_image

    if kind == "image":
        read_image(path)
        return None
    if kind == "video":
        read_frames(path, Sampling(frames=2))
    heard = read_audio(path)
    if heard is None and kind == "audio":
        raise DataError(str(path), "no sound", expected="a file with sound")
    with opened(path) as container:
        if is_image_format(container.format.name):
            raise DataError(str(path), "a picture", expected=kind)
        _decode_strictly(container, path)
        return container.duration / 1e6 if container.duration is not None else None


def _decode_strictly(container: InputContainer, path: Path) -> None:
    import av
    from av.error import FFmpegError

    video = video_stream(container)
    streams = [*([video] if video is not None else []), *container.streams.audio[:1]]
    for stream in streams:
        stream.codec_context.options = {"err_detect": "explode"}
        stream.codec_context.thread_count = 1
    at_s = 0.0
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as complaints:
            sound_s: float | None = None
            for frame in container.decode(*streams):
                at_s, sound_s = _follow(frame, at_s, sound_s, path)
    except FFmpegError as error:
        raise DataError(
            str(path),
            f"damaged after {at_s - start_of(container):.2f} s ({error.strerror})",
            fix=FIX,
        ) from error
    finally:
        av.logging.set_level(None)
    if complaints:
        raise DataError(str(path), f"damaged ({complaints[0][2].strip()})", fix=FIX)


def _follow(
    frame: Frame, at_s: float, sound_s: float | None, path: Path
) -> tuple[float, float | None]:
    """Where decoding is, and where the sound ends so far; DataError for a hole or a bad frame."""
    from av.audio.frame import AudioFrame

    if frame.is_corrupt:
        raise DataError(str(path), f"damaged at {at_s:.2f} s (a corrupt frame)", fix=FIX)
    if not isinstance(frame, AudioFrame):
        return (at_s if frame.time is None else frame.time), sound_s
    if frame.time is None:
        raise DataError(str(path), f"damaged after {at_s:.2f} s (sound without a time)", fix=FIX)
    if sound_s is not None and frame.time - sound_s > AUDIO_GAP_S:
        missing = f"{frame.time - sound_s:.2f} s of sound are missing at {sound_s:.2f} s"
        raise DataError(str(path), missing, fix=FIX)
    return frame.time, frame.time + frame.samples / frame.sample_rate
