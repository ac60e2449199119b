"""A row's media as the model takes them: cached encoder states, or encoder inputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from affect_mllm.data.cache import FeatureCache
from affect_mllm.data.reader import Clip, ReadsRows, Transform
from affect_mllm.log import LOGGER
from affect_mllm.types import DataError, Sample

Encode = Callable[[Mapping[str, Any]], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Features:
    """Reads rows through `reader`; with a `cache`, `fill` must have computed their states."""

    reader: ReadsRows
    transforms: Mapping[str, Transform]
    cache: FeatureCache | None = None

    @property
    def encoded(self) -> bool:
        """Whether `clip` gives encoder states."""
        return self.cache is not None

    def clip(self, sample: Sample) -> Clip:
        """The row's arrays: states from the cache, or encoder inputs. Raises DataError."""
        if self.cache is None:
            return self.reader.read(sample, self.transforms)
        if not sample.media:
            return Clip({})
        states = self.cache.get(sample)
        if states is None:
            raise DataError(
                f"row {sample.id}",
                "not in the feature cache",
                fix="the clip could not be read when features were computed",
            )
        return Clip(dict(states))

    def missing(self, samples: Iterable[Sample]) -> list[Sample]:
        """The rows whose states are still to be computed."""
        if self.cache is None:
            return []
        cache = self.cache
        return [s for s in samples if s.media and not cache.path(s).is_file()]

    def fill(
        self, samples: Sequence[Sample], encode: Encode, *, done: Callable[[], None]
    ) -> dict[str, DataError]:
        """Compute and keep the states of `samples`; the rows that cannot be read, by id.

        One clip a thread from file to states: on a CPU that is about twice as fast as several
        threads on one clip. `done` is called after each row.
        """
        failed: dict[str, DataError] = {}

        def one(sample: Sample) -> None:
            try:
                self._compute(sample, encode)
            except DataError as error:
                failed[sample.id] = error

        workers = os.cpu_count() or 1
        with one_thread_each(), ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(one, samples):
                done()
        return failed

    def _compute(self, sample: Sample, encode: Encode) -> None:
        assert self.cache is not None
        clip = self.reader.read(sample, self.transforms)
        for warning in clip.warnings:
            LOGGER.warning("warning: %s", warning)
        self.cache.put(sample, encode(clip.arrays), clip.warnings)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let every Python thread compute on one core, as many of them run side by side."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def ensure(
    features: Features, samples: Sequence[Sample], encode: Encode, *, max_bad_fraction: float
) -> None:
    """Compute what the cache lacks, with a progress bar; say what could not be read.

    Raises DataError when more than `max_bad_fraction` of the rows are unreadable.
    """
    if features.cache is None:
        return
    missing = features.missing(samples)
    if not missing:
        LOGGER.info("features: all %d clips are in the cache", len(samples))
        return
    LOGGER.info("features: %d of %d clips to encode once", len(missing), len(samples))
    with _bar(len(missing)) as done:
        failed = features.fill(missing, encode, done=done)
    for error in failed.values():
        LOGGER.warning("bad sample: %s", error)
    if len(failed) > max_bad_fraction * len(samples):
        first = "".join(f"\n  {name}: {error}" for name, error in list(failed.items())[:5])
        raise DataError(
            "features",
            f"{len(failed)} of {len(samples)} clips cannot be read{first}",
            expected=f"at most {max_bad_fraction:.1%}",
            fix="mend or remove them (`affect-mllm validate --decode` lists all)",
        )


@contextmanager
def _bar(total: int) -> Iterator[Callable[[], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    count = 0
    with Progress("features", BarColumn(24), MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task("", total=total)

        def done() -> None:
            nonlocal count
            count += 1
            bar.advance(task)
            if not bar.console.is_terminal and count % 200 == 0:
                LOGGER.info("features: %d/%d", count, total)

        yield done
