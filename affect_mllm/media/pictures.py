"""Pictures that stand in a row: a folder of frames or face crops, or an array of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from affect_mllm.media.folder import entries
from affect_mllm.media.image import resize
from affect_mllm.media.motion import WIDTH_PX, of_frames
from affect_mllm.media.sampling import Sampling
from affect_mllm.media.video import Frames, read_image
from affect_mllm.types import DataError

Pick = Callable[[int], npt.NDArray[np.uint8]]
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".avif", ".heic")


def picture_files(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of their names, 2 before 10.

    DataError when there are none. Other files (OpenFace leaves some, macOS hidden ones) are
    passed over.
    """
    if not folder.is_dir():
        raise DataError(str(folder), "not a folder", expected="a folder of pictures")
    files = [each for each in entries(folder) if each.suffix.lower() in ENDINGS]
    if not files:
        raise DataError(str(folder), "no picture in this folder", expected=", ".join(ENDINGS))
    return sorted(files, key=lambda each: _natural(each.name))


def sample_pictures(
    pick: Pick,
    count: int,
    sampling: Sampling,
    *,
    fps: float | None = None,
    window: tuple[float | None, float | None, float | None] = (None, None, None),
    where: str = "frames",
) -> Frames:
    """`sampling` applied to `count` pictures, of which `pick(i)` gives one, uint8 [H, W, 3].

    Pictures of several sizes get the first one's. See `picture_ranks`.
    """
    ranks, times_s = picture_ranks(
        count, sampling, fps=fps, window=window, where=where,
        motion=lambda: of_frames(_grey(pick, count), count),
    )  # fmt: skip
    images = [pick(int(rank)) for rank in ranks]
    height, width = images[0].shape[:2]
    same = [resize(image, height, width) for image in images]
    return Frames(np.stack(same), times_s)


def picture_ranks(
    count: int,
    sampling: Sampling,
    *,
    fps: float | None = None,
    window: tuple[float | None, float | None, float | None] = (None, None, None),
    where: str = "frames",
    motion: Callable[[], npt.NDArray[np.float64]],
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Which of `count` pictures are looked at, and when they are shown, in seconds.

    Without `fps` their times are not known: they are the whole row, and a sampling in seconds is
    a DataError. With it, picture i is shown from i / `fps` s, and `window` (start_s, end_s,
    peak_s) is looked at. `motion` is `Sampling.ranks`'s.
    """
    start_s, end_s, peak_s = window
    cut = start_s is not None or end_s is not None
    if fps is None and (sampling.needs_seconds or cut):
        raise DataError(
            where,
            f"a part in seconds, or sampling.kind {sampling.kind}, and no frame rate",
            expected="the pictures' rate",
            fix="add frames_fps to the manifest's row, or choose sampling.kind uniform",
        )
    rate = fps or 1.0
    begin, end = start_s or 0.0, min(count / rate, end_s or np.inf)
    if begin >= end:
        raise DataError(
            where,
            f"no picture between {begin:g} and {end:g} s",
            expected=f"a window within {count / rate:.3f} s",
        )
    times = np.arange(count) / rate
    ranks = sampling.ranks(times, (begin, end), peak_s=peak_s, motion=motion)
    return ranks, times[ranks]


def file_pick(files: Sequence[Path]) -> Pick:
    """Pictures read from `files` when they are chosen."""
    return lambda number: read_image(files[number])


def _grey(pick: Pick, count: int) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    height = 0
    for number in range(count):
        image = pick(number)
        height = height or max(2, round(image.shape[0] * WIDTH_PX / image.shape[1]))
        small = resize(image, height, WIDTH_PX, interpolation="bilinear")
        yield number, small.mean(axis=2, dtype=np.float32)


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.findall(r"\d+|\D+", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
