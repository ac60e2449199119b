"""A row's media as the model takes them: cached encoder states, or encoder inputs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np

from affect_mllm.data.cache import FeatureCache
from affect_mllm.data.reader import (
    Clip,
    Reader,
    ReadsRows,
    Transform,
    check_finite,
    together,
)
from affect_mllm.log import LOGGER
from affect_mllm.media.augment import RandomTransform
from affect_mllm.media.content import ContentIndex
from affect_mllm.types import DataError, Patches, Sample

Encode = Callable[[Mapping[str, Any]], dict[str, np.ndarray]]
# What every rank has to say, collected on all of them.
Gather = Callable[[Any], list[Any]]
AT_ONCE = 512  # clips whose turn is decided ahead


class Limits(Protocol):
    """What a model can do with, asked before it computes anything."""

    def __call__(self, arrays: Mapping[str, Any], /, *, encoded: bool) -> None:
        """Raises DataError for a row's arrays that it cannot; `encoded`: they are states."""
        ...


def no_limits(_arrays: Mapping[str, Any], /, *, encoded: bool) -> None:
    """Of a model that takes anything."""
    del encoded


@dataclass(frozen=True)
class Features:
    """Reads rows through `reader`; with a `cache`, `fill` must have computed their states.

    What `limits` (the model's) refuses, or what is not finite, is a bad row, found here and not
    in a forward pass that has others' rows in it.
    """

    reader: ReadsRows
    transforms: Mapping[str, Transform]
    cache: FeatureCache | None = None
    limits: Limits = no_limits

    @property
    def encoded(self) -> bool:
        """Whether `clip` gives encoder states."""
        return self.cache is not None

    def clip(self, sample: Sample, *, seed: tuple[int, ...] | None = None) -> Clip:
        """The row's arrays: states from the cache, or encoder inputs. Raises DataError.

        Random transforms draw from `seed`; without one, they do what they do for evaluation.
        """
        if sample.clips:
            clip = together(sample, lambda part: self.clip(part, seed=seed))
            self.limits(clip.arrays, encoded=self.encoded)
            return clip
        if self.cache is None:
            return self._read(sample, _settled(self.transforms, seed))
        if not sample.media:
            return Clip({})
        entry = self.cache.get(sample)
        if entry is None:
            raise DataError(
                f"row {sample.id}",
                "not in the feature cache",
                fix="mend its clip: it could not be read when features were computed",
            )
        arrays: dict[str, np.ndarray | Patches] = {**entry.states}
        check_finite(arrays, fix="delete the cache: the encoder that filled it made no numbers")
        self.limits(arrays, encoded=True)
        return Clip(arrays, entry.warnings)

    def measured(self, sample: Sample, index: ContentIndex) -> dict[str, np.ndarray | Patches]:
        """Shapes of what `clip` gives of a row without clips: arrays with nothing in them.

        Of the cache's states, or by what `index` remembers of the row's files. Raises DataError.
        """
        if self.cache is not None:
            sizes = (self.cache.sizes(sample) or {}) if sample.media else {}
            arrays: dict[str, Any] = {
                name: np.broadcast_to(np.float32(0), size) for name, size in sizes.items()
            }
        elif isinstance(self.reader, Reader):
            arrays = self.reader.measured(sample, _settled(self.transforms, None), index)
        else:
            raise DataError(
                f"row {sample.id}",
                "clips that are in memory: they have no files",
                fix="give files: what is in memory can be asked about, not planned with",
            )
        self.limits(arrays, encoded=self.encoded)
        return arrays

    def lacks(self, sample: Sample) -> bool:
        """Whether the row's states are still to be computed. DataError for a damaged cache."""
        cache, seen = self.cache, [part for part in sample.parts if part.media]
        return cache is not None and not all(map(cache.has, seen))

    def compute(self, sample: Sample, encode: Encode) -> Clip:
        """The row's states as the cache keeps them, from its media."""
        if sample.clips:
            return together(sample, lambda part: self.compute(part, encode))
        clip = self._read(sample, self.transforms)
        states = encode(clip.arrays)
        check_finite(states, fix="model.fast_encoders=false computes them in float32")
        return Clip({**states}, clip.warnings)

    def _read(self, sample: Sample, transforms: Mapping[str, Transform]) -> Clip:
        clip = self.reader.read(sample, transforms)
        self.limits(clip.arrays, encoded=False)
        return clip

    def fill(
        self, samples: Iterable[Sample], encode: Encode, *, done: Callable[[], None]
    ) -> dict[str, DataError]:
        """Compute and keep the states of `samples`; the rows that cannot be read, by id.

        One clip a thread from file to states: on a CPU that is about twice as fast as several
        threads on one clip. `done` is called after each row. What was computed when something
        stops it is kept.
        """
        assert self.cache is not None
        failed: dict[str, DataError] = {}
        turns = _Turns(self.cache)

        def one(sample: Sample) -> None:
            try:
                for part in sample.parts:  # kept one by one: other rows may have some of them
                    with turns.of(part):
                        if self.lacks(part):
                            self._keep(part, encode)
            except DataError as error:
                failed[sample.id] = error

        coming = iter(samples)
        try:
            with one_thread_each(), ThreadPoolExecutor(cores_of_rank()) as pool:
                while part := list(islice(coming, AT_ONCE)):
                    for _ in pool.map(one, part):
                        done()
        finally:
            self.cache.flush()
        return failed

    def _keep(self, sample: Sample, encode: Encode) -> None:
        assert self.cache is not None
        clip = self.compute(sample, encode)
        for warning in clip.warnings:
            LOGGER.warning("warning: %s", warning)
        states = {name: np.asarray(array) for name, array in clip.arrays.items()}
        self.cache.put(sample, states, clip.warnings)


class _Turns:
    """Lets one thread after another work on what has the same key in a cache."""

    def __init__(self, cache: FeatureCache) -> None:
        self._cache, self._lock = cache, threading.Lock()
        self._locks: dict[bytes, threading.Lock] = {}

    def of(self, sample: Sample) -> threading.Lock:
        """The lock of the sample's key, or of another that begins alike: there are not too many."""
        try:
            key = self._cache.key(sample)
        except DataError:
            key = b""  # a file that is gone: reading it says so
        with self._lock:
            return self._locks.setdefault(key[:2], threading.Lock())


def _settled(
    transforms: Mapping[str, Transform], seed: tuple[int, ...] | None
) -> Mapping[str, Transform]:
    """The transforms without chance: drawn from `seed`, or as they are for evaluation."""
    if not any(isinstance(each, RandomTransform) for each in transforms.values()):
        return transforms
    return {
        name: each.drawn(seed) if isinstance(each, RandomTransform) else each
        for name, each in transforms.items()
    }


def cores_of_rank() -> int:
    """How many cores one process has for itself: its node's, shared by the ranks started there.

    torchrun says how many they are in LOCAL_WORLD_SIZE; one process alone has all.
    """
    told = os.environ.get("LOCAL_WORLD_SIZE", "")
    ranks = max(1, int(told)) if told.isdecimal() else 1
    return max(1, len(os.sched_getaffinity(0)) // ranks)


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


def alone(said: Any) -> list[Any]:
    """What one process gathers: what it said itself."""
    return [said]


def ensure(
    features: Features,
    samples: Sequence[Sample],
    encode: Encode,
    *,
    max_bad_fraction: float,
    gather: Gather = alone,
) -> None:
    """Compute what the cache lacks, with a progress bar; say what could not be read.

    `samples` are this rank's share. Raises DataError, on every rank, when more than
    `max_bad_fraction` of all ranks' rows are unreadable, and whatever else stopped a rank.
    """
    if features.cache is None:
        return
    missing: list[Sample] = []
    stopped: Exception | None = None
    try:
        missing = [sample for sample in samples if features.lacks(sample)]
    except Exception as error:  # the other ranks must hear of it, or they wait for ever
        stopped = error
    # Every rank's shards are marked as in use now, before one of them needs room.
    counts = _together(gather, (len(missing), len(samples)), stopped)
    wanted, total = (sum(column) for column in zip(*counts, strict=True))
    if not wanted:
        LOGGER.info("features: all %d clips are in the cache", total)
        return
    LOGGER.info("features: %d of %d clips to encode once", wanted, total)
    failed: dict[str, str] = {}
    try:
        with bar("features", len(missing)) as done:
            found = features.fill(missing, encode, done=done)
        failed = {id: str(error) for id, error in found.items()}
        for id, why in failed.items():
            LOGGER.warning("bad sample: %s: %s", id, why)
    except Exception as error:
        stopped = error
    parts = _together(gather, failed, stopped)
    _judge({id: why for part in parts for id, why in part.items()}, total, max_bad_fraction)


def _together(gather: Gather, said: Any, stopped: Exception | None) -> list[Any]:
    """What every rank said; raises, on all of them, what stopped one."""
    others = gather((said, stopped and f"{type(stopped).__name__}: {stopped}"))
    if stopped is not None:
        raise stopped
    if any(reason for _, reason in others):
        raise DataError("features", "; ".join(str(r) for _, r in others if r), fix="see above")
    return [one for one, _ in others]


def _judge(failed: Mapping[str, str], total: int, limit: float) -> None:
    """DataError if the unreadable rows are more than `limit` of all."""
    if len(failed) > limit * total:
        first = "".join(f"\n  {id}: {why}" for id, why in list(failed.items())[:5])
        raise DataError(
            "features",
            f"{len(failed)} of {total} clips cannot be read{first}",
            expected=f"at most {limit:.1%}",
            fix="mend or remove them (`affect-mllm validate --decode` lists all)",
        )


@contextmanager
def bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar of `total` steps; in a log that is no terminal, a line now and then."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    count = 0
    with Progress(what, BarColumn(24), MofNCompleteColumn(), TimeRemainingColumn()) as shown:
        task = shown.add_task("", total=total)

        def done() -> None:
            nonlocal count
            count += 1
            shown.advance(task)
            if not shown.console.is_terminal and count % 200 == 0:
                LOGGER.info("%s: %d/%d", what, count, total)

        yield done
