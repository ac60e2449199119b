"""Decoding many media files in processes of their own, so that one that crashes names itself."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from affect_mllm.types import AffectError, Sample

AT_ONCE = 4096  # futures that exist at a time
TIMED = ("video", "audio")  # media of which a row's times cut a part
CRASHED = "the decoder crashed on it"


@dataclass(frozen=True)
class Job:
    """What is to be decoded: the medium `kind` that is named `where` beside `root`, or a part.

    `start_s` and `end_s` are the part's; None: the file's own. `sound`: whether a video's own is
    read, too; training leaves it alone where the row names an `audio`.
    """

    root: Path
    kind: str
    where: str
    start_s: float | None = None
    end_s: float | None = None
    sound: bool = True

    @staticmethod
    def of(sample: Sample, kind: str) -> Job:
        """The job of a row's medium; rows about the same part share it."""
        where = sample.media[kind]
        if kind not in TIMED:
            return Job(sample.root, kind, where)
        sound = kind == "audio" or "audio" not in sample.media
        return Job(sample.root, kind, where, sample.start_s, sample.end_s, sound)


def decode_all(jobs: Sequence[Job], *, workers: int | None) -> dict[Job, str | None]:
    """Why each job cannot be decoded (None: it can), with a progress bar on stderr."""
    from rich.console import Console
    from rich.progress import Progress

    found: dict[Job, str | None] = {}
    workers = min(workers or os.cpu_count() or 1, max(len(jobs), 1))
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("decoding", total=len(jobs))
        for begin in range(0, len(jobs), AT_ONCE):
            part = jobs[begin : begin + AT_ONCE]
            while left := [job for job in part if job not in found]:
                _run(left, workers, found, done=lambda: bar.advance(task))
                suspects = [job for job in left if job not in found][: 2 * workers + 2]
                for job in suspects:  # what the process that crashed had, and its neighbours
                    _run([job], 1, found, done=lambda: bar.advance(task))
                    if job not in found:
                        found[job] = CRASHED
                        bar.advance(task)
    return found


def _run(
    jobs: Sequence[Job], workers: int, found: dict[Job, str | None], *, done: Callable[[], None]
) -> None:
    """Decode until all is done or a process crashes, which takes its pool with it."""
    # spawn: a decoder's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        futures = {pool.submit(decode_one, job): job for job in jobs}
        for future in as_completed(futures):
            try:
                found[futures[future]] = future.result()
                done()
            except BrokenProcessPool:
                continue


def decode_one(job: Job) -> str | None:
    """Decode one file or part completely, in whatever format its kind has; why it cannot be."""
    from affect_mllm.media.remote import MediaFiles

    sample = Sample("", job.root, {job.kind: job.where})
    try:
        with MediaFiles().local(sample, job.kind) as path:
            _decode(path, job)
    except AffectError as error:
        said = (("expected", error.expected), ("to mend it", error.fix))
        return "; ".join([error.got, *(f"{what}: {text}" for what, text in said if text)])
    except Exception as error:  # whatever a decoder raises is what the user has to know
        return repr(error)
    return None


def _decode(path: Path, job: Job) -> None:
    from affect_mllm.data.faces import TABLE
    from affect_mllm.data.states import read_states
    from affect_mllm.media.check import check_media
    from affect_mllm.media.openface import read_crops, read_table
    from affect_mllm.media.pictures import picture_files

    name, _, modality = job.kind.partition(".")
    if name == "features":
        read_states(path, modality or None)
    elif name == "faces" and path.suffix.lower() == TABLE:
        read_table(path, min_confidence=0.0)
    elif name == "faces" and path.suffix == ".npy":
        read_crops(path, colors="rgb").max()  # touches every byte; the order changes nothing
    elif name in ("faces", "frames"):
        for picture in picture_files(path) if path.is_dir() else [path]:
            check_media(picture, "image")
    else:
        check_media(path, job.kind, start_s=job.start_s, end_s=job.end_s, sound=job.sound)


def _one_thread() -> None:
    """Resampling runs in torch, which would start a thread for every core in every process."""
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported, which is mostly later
    if "torch" in sys.modules:  # by the caller's own script, which a new process imports first
        sys.modules["torch"].set_num_threads(1)
