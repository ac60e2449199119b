"""Is a media file whole? What training would read of it is read, by the code that training uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from affect_mllm.media.complaints import listening
from affect_mllm.media.container import need_video, opened, start_of, strictly
from affect_mllm.media.packets import decoded
from affect_mllm.types import DataError

# Demuxers, as FFmpeg's log names them, whose streams have time stamps: a lost part leaves a gap.
WITH_CLOCK = frozenset({"asf", "flv", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "mpegts", "ogg"})
FIX = "copy or record it again"


def check_media(
    path: Path,
    kind: str,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    sound: bool = True,
) -> None:
    """Decode the window (None: all) of a `video`, `audio` or `image` file. DataError says why not.

    Every frame and all sound are read as training reads some of them, and what it would refuse is
    refused. The pictures of a whole video are then decoded once more, strictly: a frame in which
    FFmpeg conceals damage may not be among those that training looks at. Changed samples of
    uncompressed sound can't be told from sound, nor a lost piece of an AVI from one that was
    never there. `sound`: whether that of a `video` is read, which is not so where the row names
    an `audio` of its own.
    """
    from affect_mllm.media.audio import read_audio
    from affect_mllm.media.video import check_frames, read_image

    if kind == "image":
        read_image(path)
        return
    if kind == "video":
        check_frames(path, start_s=start_s, end_s=end_s)
    if sound or kind == "audio":
        whole = start_s is None and end_s is None
        with _without_complaints(path) if whole else nullcontext():
            heard = read_audio(path, start_s=start_s, end_s=end_s)
        if heard is None and kind == "audio":
            raise no_sound(path)
    if kind == "video" and start_s is None and end_s is None:
        _decode_strictly(path)


def no_sound(path: Path | str) -> DataError:
    """The error for what a row gives as `audio` and has none."""
    return DataError(
        str(path), "no sound", expected="a file with sound", fix="take it out of the row"
    )


@contextmanager
def _without_complaints(path: Path) -> Iterator[None]:
    """DataError where FFmpeg passes over a damaged part of the container, which nobody hears of.

    Sound goes on behind it with silence in between, as behind a pause. What decoders say, who
    complain of whole sound, too, and what stands behind the end of a stream, is left out.
    """
    with listening() as complaints:
        yield
    said = [text.strip() for _, name, text in complaints if name in WITH_CLOCK]
    if said:
        raise DataError(str(path), f"damaged ({said[0]})", fix=FIX)


def _decode_strictly(path: Path) -> None:
    """DataError for a frame or a complaint of a decoder that says that a video is damaged."""
    from av.error import FFmpegError

    at_s = 0.0
    with opened(path) as container:
        stream = need_video(container, path)
        strictly(stream)
        try:
            with listening() as complaints:
                for frame in decoded(container, stream):
                    at_s = at_s if frame.time is None else frame.time
                    if frame.is_corrupt:
                        raise DataError(str(path), f"a corrupt frame at {at_s:.2f} s", fix=FIX)
        except FFmpegError as error:
            got = f"damaged after {at_s - start_of(container):.2f} s ({error.strerror})"
            raise DataError(str(path), got, fix=FIX) from error
    if complaints:
        raise DataError(str(path), f"damaged ({complaints[0][2].strip()})", fix=FIX)
