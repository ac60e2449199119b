"""Decoding many media files in processes of their own, so that one that crashes names itself."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from affect_mllm.media.container import check_window
from affect_mllm.types import AffectError, DataError, Sample

AT_ONCE = 4096  # futures that exist at a time
CRASHED = "the decoder crashed on it"


@dataclass(frozen=True)
class Job:
    """One file to decode: the medium `kind` that is named `where` beside `root`."""

    root: Path
    kind: str
    where: str

    @staticmethod
    def of(sample: Sample, kind: str) -> Job:
        """The job of a row's medium; rows of one source share it."""
        return Job(sample.root, kind, sample.media[kind])


@dataclass(frozen=True)
class Verdict:
    """What came of a job: why it cannot be decoded (None: it can), and its length in seconds."""

    problem: str | None = None
    duration_s: float | None = None

    def reason(self, sample: Sample) -> str | None:
        """Why the row cannot use the file; its times may lie outside. None: it can."""
        cut = sample.start_s is not None or sample.end_s is not None
        if self.problem is not None or self.duration_s is None or not cut:
            return self.problem
        try:
            check_window(Path(), sample.start_s, sample.end_s, duration_s=self.duration_s)
        except DataError as error:
            return f"{error.got}; {error.expected}"
        return None


def decode_all(jobs: Sequence[Job], *, workers: int | None) -> dict[Job, Verdict]:
    """The verdict on every job, with a progress bar on stderr."""
    from rich.console import Console
    from rich.progress import Progress

    found: dict[Job, Verdict] = {}
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
                        found[job] = Verdict(CRASHED)
                        bar.advance(task)
    return found


def _run(
    jobs: Sequence[Job], workers: int, found: dict[Job, Verdict], *, done: Callable[[], None]
) -> None:
    """Decode until all is done or a process crashes, which takes its pool with it."""
    # spawn: a decoder's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = {pool.submit(decode_one, job): job for job in jobs}
        for future in as_completed(futures):
            try:
                found[futures[future]] = future.result()
                done()
            except BrokenProcessPool:
                continue


def decode_one(job: Job) -> Verdict:
    """Decode one file completely, in whatever format its kind has."""
    from affect_mllm.media.remote import MediaFiles

    sample = Sample("", job.root, {job.kind: job.where})
    try:
        with MediaFiles().local(sample, job.kind) as path:
            return Verdict(None, _decode(path, job.kind))
    except AffectError as error:
        return Verdict(error.got)
    except Exception as error:  # whatever a decoder raises is what the user has to know
        return Verdict(repr(error))


def _decode(path: Path, kind: str) -> float | None:
    from affect_mllm.data.faces import TABLE
    from affect_mllm.data.states import read_states
    from affect_mllm.media.check import check_media
    from affect_mllm.media.openface import read_crops, read_table
    from affect_mllm.media.pictures import picture_files

    name, _, modality = kind.partition(".")
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
        return check_media(path, kind)
    return None
